"""Settings of the density-compensated NUFFT."""

from __future__ import annotations

from typing import ClassVar

from napari_dainr.methods.config.base import MethodConfig

__all__ = ["NufftConfig"]


class NufftConfig(MethodConfig):
    """Density-compensated adjoint NUFFT: no settings."""

    method_title: ClassVar[str] = "NuFFT"
