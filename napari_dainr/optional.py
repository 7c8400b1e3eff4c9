"""Packages that need not be there: imported where they are used, with one sentence to the user if they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .errors import ResourceError

__all__ = ["require"]


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
