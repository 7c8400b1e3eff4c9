"""Settings of every method, each said once: command-line flags, recipe files, the form and the docs come from here.

One file per method, and ``fields`` for what several have; no torch in any of them, as the form is drawn before an
engine is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from napari_dainr.errors import InputError
from napari_dainr.methods import METHOD_NAMES
from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.dainr import DainrConfig
from napari_dainr.methods.config.fmlp import FmlpConfig
from napari_dainr.methods.config.grasp import GraspConfig
from napari_dainr.methods.config.hashinr import HashinrConfig
from napari_dainr.methods.config.lowrank import LowrankConfig
from napari_dainr.methods.config.nik import NikConfig
from napari_dainr.methods.config.nufft import NufftConfig
from napari_dainr.methods.config.stinr import StinrConfig
from napari_dainr.methods.config.tddip import TddipConfig

__all__ = [
    "CONFIGS",
    "PRESETS",
    "TITLES",
    "DainrConfig",
    "FmlpConfig",
    "GraspConfig",
    "HashinrConfig",
    "LowrankConfig",
    "MethodConfig",
    "NikConfig",
    "NufftConfig",
    "StinrConfig",
    "TddipConfig",
    "method_config",
    "preset_values",
]

CONFIGS: dict[str, type[MethodConfig]] = dict(
    zip(
        METHOD_NAMES,
        (
            NufftConfig,
            GraspConfig,
            LowrankConfig,
            TddipConfig,
            HashinrConfig,
            StinrConfig,
            FmlpConfig,
            NikConfig,
            DainrConfig,
        ),
        strict=True,
    )
)
"""Settings class of each method."""

TITLES: dict[str, str] = {name: config.method_title for name, config in CONFIGS.items()}
"""Name of each method where people read it."""

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "fast": {name: {} for name in CONFIGS},
    "paper": {name: config.paper for name, config in CONFIGS.items()},
}
"""What a preset changes from the defaults, per method."""


def preset_values(method: str, preset: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a preset and then the user change from the defaults of a method, unchecked."""
    return {**PRESETS[preset][method], **(overrides or {})}


def method_config(method: str, preset: str = "fast", overrides: Mapping[str, Any] | None = None) -> MethodConfig:
    """Settings of a method: its defaults, changed by the preset, changed by the user.

    Raises
    ------
    InputError
        For an unknown method, preset, key or value; the sentence names it and what may stand there.
    """
    if method not in CONFIGS:
        raise InputError(f"method is {method!r}; choose one of {', '.join(CONFIGS)}.")
    if preset not in PRESETS:
        raise InputError(f"preset is {preset!r}; choose one of {', '.join(PRESETS)}.")
    cls = CONFIGS[method]
    unknown = [key for key in (overrides or {}) if key not in cls.model_fields]
    if unknown:
        known = ", ".join(cls.model_fields) or "none"
        raise InputError(f"unknown key {unknown[0]!r} for method {method}; the keys are: {known}.")
    try:
        return cls.model_validate(preset_values(method, preset, overrides))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{method}: {key} is {first['input']!r}: {reason[0].lower() + reason[1:]}.") from None
