"""Dynamic MRI from golden-angle radial k-space with DA-INR: engine, command line and napari plugin.

Public names are imported on first use, so that ``import napari_dainr`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

RESEARCH_USE = "Research use only. Not for diagnostic use."
"""Shown wherever results are shown or exported."""

_HOME = {
    "KSpace": "data",
    "BinnedKSpace": "data",
    "ImageSeries": "data",
    "bin_spokes": "data",
    "DainrError": "errors",
    "InputError": "errors",
    "read_kspace": "io",
    "Recipe": "recipe",
    "run": "recipe",
}

__all__ = ["RESEARCH_USE", "__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
