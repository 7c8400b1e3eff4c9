"""Packages that need not be there: imported where they are used, with one sentence to the user if they are missing."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from .errors import ResourceError

__all__ = ["require", "why_no_triton"]


def require(module: str, *, extra: str | None, purpose: str) -> ModuleType:
    """Import a module, or say what to install.

    Parameters
    ----------
    module : str
        Dotted name, e.g. ``"cufinufft"``.
    extra : str or None
        The extra of this package that brings it; None for a package that every installation should have.
    purpose : str
        What it is needed for, as the start of a sentence: ``"The NUFFT on the GPU"``.

    Raises
    ------
    ResourceError
        If it is not installed, or is installed and cannot be loaded.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:
        package = module.partition(".")[0]
        what = f'"napari-dainr[{extra}]"' if extra else package
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise ResourceError(
                f"{purpose} needs the package {package}, which is not installed: run `pip install {what}`."
            ) from error
        reason = " ".join(str(error).split())
        raise ResourceError(
            f"{purpose} needs the package {package}, which is installed but cannot be loaded ({reason}): "
            f"run `pip install --force-reinstall {what}`."
        ) from error


def why_no_triton() -> str | None:
    """Why Triton cannot be imported in this process, as the middle of a sentence, or None where it can.

    Triton brings an LLVM of its own. Where the graphics driver has loaded another one before, as Mesa's does in a
    viewer, importing Triton ends the process with a segmentation fault.
    """
    if "triton" in sys.modules:
        return None
    if find_spec("triton") is None:
        return "the package triton is not installed; it comes with PyTorch for CUDA on Linux"
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None  # not Linux, for which alone Triton is made
    if "/libLLVM" in maps:
        return "the graphics driver has loaded another LLVM into this program, beside which Triton crashes"
    return None
