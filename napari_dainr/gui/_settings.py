"""Preferences of the plugin, kept by napari (``contributions.configurations`` in the manifest)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLUGIN", "ViewerSettings", "viewer_settings"]

PLUGIN = "napari-dainr"


@dataclass(frozen=True)
class ViewerSettings:
    """What the Preferences page offers; the defaults are those of the manifest."""

    preview_hz: float = 2.0
    checkpoint_s: float = 30.0
    device: str = "auto"


def viewer_settings() -> ViewerSettings:
    """Preferences as they stand; the manifest's defaults where napari does not know the plugin (not installed)."""
    from napari.settings import get_plugin_settings

    known = get_plugin_settings()
    if PLUGIN not in known:
        return ViewerSettings()
    run = known[PLUGIN].reconstruction
    return ViewerSettings(float(run.preview_hz), float(run.checkpoint_s), str(run.device))
