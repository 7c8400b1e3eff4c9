"""What the settings of all methods have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["MethodConfig"]


class MethodConfig(BaseModel):
    """Base of all method settings: frozen, and an unknown key is an error.

    ``method_title`` is the method's name where people read it; ``paper`` is what preset ``paper`` changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    method_title: ClassVar[str]
    paper: ClassVar[dict[str, Any]] = {}
