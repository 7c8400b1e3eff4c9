"""From a file of weights to a frozen extractor."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.errors import InputError
from napari_dainr.inr.extractors.base import FeatureExtractor, Shapes
from napari_dainr.inr.extractors.dynres import DynRes
from napari_dainr.inr.extractors.rdn import Rdn
from napari_dainr.inr.extractors.residual import Edsr, Mdsr
from napari_dainr.inr.extractors.swinir import SwinIr
from napari_dainr.io.checkpoint import check_sha256, read_checkpoint

__all__ = ["ARCHITECTURES", "BUNDLED", "load_extractor"]

ARCHITECTURES: dict[str, type[FeatureExtractor]] = {
    "dynres": DynRes,
    "edsr": Edsr,
    "mdsr": Mdsr,
    "rdn": Rdn,
    "swinir": SwinIr,
}
"""Class of each architecture, by the names of the setting ``extractor``."""

BUNDLED: dict[str, str] = {"dynres": "dynres.safetensors"}
"""Architectures whose weights come with the package: name → file in ``napari_dainr/resources``."""


def load_extractor(architecture: str, path: Path | None = None, sha256: str = "") -> FeatureExtractor:
    """A frozen extractor with the weights of a file.

    The size of the network (features, blocks, heads, …) is taken from the file.

    Parameters
    ----------
    architecture
        A key of :data:`ARCHITECTURES`.
    path
        A ``.pt``, ``.pth`` or ``.safetensors`` file; None for an architecture of :data:`BUNDLED`.
    sha256
        What the file's SHA-256 must be, or begin with; empty: any.

    Raises
    ------
    InputError
        If the file is not what it should be: no weights, another hash, another architecture, missing or surplus
        tensors, wrong shapes, or values that are not finite.
    """
    cls = ARCHITECTURES[architecture]
    if path is None:
        if architecture not in BUNDLED:
            raise InputError(f"{cls.title} needs a file of weights; give its path in extractor_weights.")
        path = Path(__file__).resolve().parents[2] / "resources" / BUNDLED[architecture]
    path = Path(path)
    digest = check_sha256(path, sha256)
    weights = _bare_names(read_checkpoint(path))
    renamed = {cls.renamed(name): array for name, array in weights.items()}
    shapes = {name: array.shape for name, array in renamed.items()}
    network = _empty(cls, shapes, path.name, weights)
    needed = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    surplus = [name for name in shapes if name not in needed and not name.startswith(cls.unused)]
    if surplus:
        raise InputError(f"{path.name}: holds {surplus[0]}, which {cls.title} has not; give the published file.")
    for name, shape in needed.items():
        if name not in shapes:
            raise InputError(f"{path.name}: {name} of {cls.title} is missing; give the published file.")
        if shapes[name] != shape:
            raise InputError(
                f"{path.name}: {name} is {_size(shapes[name])}, but this {cls.title} needs {_size(shape)}; "
                "give the published file."
            )
    tensors: dict[str, Tensor] = {}
    for name in needed:
        array = np.ascontiguousarray(renamed[name], np.float32)
        if not np.isfinite(array).all():
            raise InputError(f"{path.name}: {name} holds values that are not finite; get the file again.")
        tensors[name] = torch.from_numpy(array)
    network.load_state_dict(tensors, assign=True)
    network.file, network.sha256 = path.name, digest
    return network.eval().requires_grad_(False)


def _bare_names(weights: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Names without the ``module.`` or ``model.`` that wrappers put in front of all of them."""
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _empty(cls: type[FeatureExtractor], shapes: Shapes, file: str, names: Collection[str]) -> FeatureExtractor:
    """The network without memory for its weights, of the size that the shapes ask for."""
    held = _architecture_of(names)
    if held is None:
        raise InputError(f"{file}: holds no weights of {cls.title} ({cls.marker} is missing); give the published file.")
    if ARCHITECTURES[held] is not cls:
        other = ARCHITECTURES[held].title
        raise InputError(f"{file}: holds weights of {other}, not of {cls.title}; choose extractor {held}.")
    try:
        # On "meta" nothing is allocated or drawn at random: a run's random numbers stay as they are.
        with torch.device("meta"):
            return cls.for_shapes(shapes)
    except KeyError as missing:
        raise InputError(f"{file}: {missing.args[0]} of {cls.title} is missing; give the published file.") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except (IndexError, ValueError, TypeError, RuntimeError, ZeroDivisionError):
        raise InputError(f"{file}: its tensors fit no {cls.title}; give the published file.") from None


def _architecture_of(names: Collection[str]) -> str | None:
    """Which network's tensors have such names."""
    held = [key for key, cls in ARCHITECTURES.items() if any(cls.renamed(name) == cls.marker for name in names)]
    # MDSR holds all that EDSR holds, and more.
    return "mdsr" if "mdsr" in held else next(iter(held), None)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in shape) or "one number"
