"""What the settings of all methods have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["MethodConfig"]


class MethodConfig(BaseModel):
    """Base of all method settings: frozen, and an unknown key is an error.

    ``method_title`` is the method's name where people read it; ``paper`` is what preset ``paper`` changes; ``files``
    names the settings that hold paths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    method_title: ClassVar[str]
    paper: ClassVar[dict[str, Any]] = {}
    files: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def shareable(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as results may carry them: files by name only, because a folder may name a person."""
        return {key: PurePath(v).name if key in cls.files and isinstance(v, str) else v for key, v in values.items()}
