"""Preferences of the plugin, kept by napari (``contributions.configurations`` in the manifest). No Qt.

A class for each page; its fields are those of the page and its defaults those of the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

__all__ = [
    "PLUGIN",
    "CompareSettings",
    "CurveSettings",
    "Settings",
    "StripSettings",
    "ViewerSettings",
    "keep",
    "kept",
]

PLUGIN = "napari-dainr"


@dataclass(frozen=True)
class Settings:
    """A page of preferences; ``PAGE`` is its name in the manifest."""

    PAGE: ClassVar[str] = ""


@dataclass(frozen=True)
class ViewerSettings(Settings):
    """Of reconstructions."""

    PAGE = "reconstruction"
    preview_hz: float = 2.0
    checkpoint_s: float = 30.0
    device: str = "auto"
    keep_previous: bool = True


@dataclass(frozen=True)
class CurveSettings(Settings):
    """What the plot of the curves shows."""

    PAGE = "curves"
    mode: str = "signal"
    statistic: str = "mean"
    band: bool = True


@dataclass(frozen=True)
class StripSettings(Settings):
    """Of x–t strips."""

    PAGE = "xt"
    window: str = "one"


@dataclass(frozen=True)
class CompareSettings(Settings):
    """Of the queue and of the maps; ``methods`` are names with spaces between them."""

    PAGE = "compare"
    methods: str = "nufft grasp dainr"
    maps: str = "error"
    factor: int = 5
    match_scale: bool = True


_Page = TypeVar("_Page", bound=Settings)


def _page(name: str) -> Any | None:
    from napari.settings import get_plugin_settings

    known = get_plugin_settings()
    return getattr(known[PLUGIN], name, None) if PLUGIN in known else None


def kept(kind: type[_Page]) -> _Page:
    """A page as it stands; the defaults where napari does not know the plugin (not installed)."""
    page = _page(kind.PAGE)
    return kind() if page is None else kind(**{field.name: getattr(page, field.name) for field in fields(kind)})


def keep(kind: type[_Page], **changes: Any) -> None:
    """Change values of a page; napari writes its file by itself, and only where something is new."""
    page, before = _page(kind.PAGE), kept(kind)
    if page is None:
        return
    after = replace(before, **changes)
    for field in fields(kind):
        value = getattr(after, field.name)
        if value != getattr(before, field.name):
            setattr(page, field.name, value)
