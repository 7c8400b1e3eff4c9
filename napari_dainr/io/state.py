"""The fitted state of a run on disk: safetensors with a checksum, two generations, safe against a crash at any moment.

``path`` and ``path.sha256`` are the newest generation, ``path.previous`` and ``path.previous.sha256`` the one before.
A safetensors file has no checksum of its own and loads with flipped bits; hence the second file. While the older
generation is being replaced the newer one stands untouched, and the other way round.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import ExportError, InputError
from napari_dainr.io.atomic import atomic_write, write_text
from napari_dainr.io.failpoints import reached

__all__ = ["load_state", "save_state", "state_completed", "state_exists"]

SCHEMA = "2"
_COMPLEX = {"complex64": np.float32, "complex128": np.float64}


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_good(path: Path) -> bool:
    try:
        return _beside(path, ".sha256").read_text(encoding="ascii").strip() == _file_digest(path)
    except (OSError, UnicodeDecodeError):
        return False


def _as_array(name: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor; torch itself is not needed here
        value = value.detach().cpu().resolve_conj().resolve_neg().numpy()
    array = np.asarray(value, order="C")
    if array.dtype.kind not in "fiubc":
        raise ExportError(f"state: tensor {name!r} has type {array.dtype}, which cannot be saved.")
    return array


def state_exists(path: Path) -> bool:
    """Whether a state was ever saved there (it may still turn out to be damaged)."""
    path = Path(path)
    return path.is_file() or _beside(path, ".previous").is_file()


def state_completed(path: Path) -> bool:
    """Whether a state was ever saved there to the end (it may still turn out to be damaged).

    Not so where the process was killed in the middle of the first save: its checksum comes last.
    """
    return any(_beside(Path(path), ending).is_file() for ending in (".sha256", ".previous.sha256"))


def save_state(tensors: Mapping[str, Any], meta: Mapping[str, Any], path: Path) -> None:
    """Save named tensors and JSON-able facts as the newest generation, keeping the one before.

    Parameters
    ----------
    tensors
        numpy arrays or torch tensors of any device; real, integer, boolean or complex.
    meta
        Facts that JSON can hold.
    path
        The file of the newest generation; its folder exists.

    Raises
    ------
    ExportError
        If it cannot be written; both older generations are unharmed.
    """
    import safetensors.numpy

    path = Path(path)
    stored: dict[str, NDArray[Any]] = {}
    complex_types: dict[str, str] = {}
    for name, value in tensors.items():
        array = _as_array(name, value)
        if array.dtype.kind == "c":
            complex_types[name] = array.dtype.name
            array = np.stack([array.real, array.imag], axis=-1)
        stored[name] = array
    try:
        # One entry: safetensors writes several in any order, and the same state shall be the same bytes.
        header = {"state": json.dumps({"schema": SCHEMA, "complex": complex_types, "meta": dict(meta)})}
    except (TypeError, ValueError) as error:
        raise ExportError(f"{path.name}: its facts cannot be written as JSON ({error}).") from None
    data = safetensors.numpy.save(stored, metadata=header)
    digest = hashlib.sha256(data).hexdigest()

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            file.write(data[: len(data) // 2])
            reached(f"half-written {path.name}")
            file.write(data[len(data) // 2 :])

    def verify(temporary: Path) -> None:
        if _file_digest(temporary) != digest:
            raise ValueError("the checksum differs")

    # A damaged newest generation must not push out a good older one.
    if _is_good(path):
        _keep_as_previous(path)
    atomic_write(path, write, verify, len(data))
    write_text(_beside(path, ".sha256"), digest + "\n")


def _keep_as_previous(path: Path) -> None:
    def link(temporary: Path) -> None:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)  # file systems without hard links

    checksum = _beside(path, ".sha256").read_text(encoding="ascii")

    def verify(temporary: Path) -> None:
        if _file_digest(temporary) != checksum.strip():
            raise ValueError("the checksum differs")

    atomic_write(_beside(path, ".previous"), link, verify, path.stat().st_size)
    write_text(_beside(path, ".previous.sha256"), checksum)


def load_state(path: Path, as_torch: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load the newest generation that is whole.

    Parameters
    ----------
    path
        As given to :func:`save_state`.
    as_torch
        Return torch tensors (on the CPU) instead of numpy arrays.

    Returns
    -------
    tensors, meta
        As they were saved; ``meta["generation"]`` is added, ``"newest"`` or ``"previous"``.

    Raises
    ------
    InputError
        If no generation is whole.
    """
    path = Path(path)
    if not state_exists(path):
        raise InputError(f"{path.name}: there is no saved state; start the run anew.")
    for candidate, generation in ((path, "newest"), (_beside(path, ".previous"), "previous")):
        if _is_good(candidate):
            tensors, meta = _read(candidate, path.name)
            meta["generation"] = generation
            if as_torch:
                import torch

                return {name: torch.from_numpy(array) for name, array in tensors.items()}, meta
            return tensors, meta
    raise InputError(f"{path.name}: the saved state is damaged and so is the one before; start the run anew.")


def _read(path: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    import safetensors

    tensors: dict[str, Any] = {}
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["state"])
            found = facts["schema"]
            if found != SCHEMA:
                raise InputError(f"{name}: state schema is {found}, but {SCHEMA} is read; start the run anew.")
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                array = file.get_tensor(key)
                if key in facts["complex"]:
                    array = np.ascontiguousarray(array).view(facts["complex"][key])[..., 0]
                tensors[key] = array
            return tensors, dict(facts["meta"])
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name}: is not a saved state of this program ({error}); start the run anew.") from None
