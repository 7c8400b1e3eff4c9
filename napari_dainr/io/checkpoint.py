"""Weights of a network from a file, without unpickling and without torch."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_dainr.errors import InputError, reason_of
from napari_dainr.io.child import plain_file, read_in_child

__all__ = ["check_sha256", "file_sha256", "read_checkpoint"]

_DIGITS_IN_NAME = re.compile(r"-([0-9a-f]{8})\.(?:pt|pth)$")


def file_sha256(path: Path) -> str:
    """SHA-256 of a weights file, 64 hexadecimal digits.

    Raises
    ------
    InputError
        If it is not a plain file that can be read.
    """
    path = Path(path)
    plain_file(path, "a file of weights")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({reason_of(error)}); copy the file again.") from None


def check_sha256(path: Path, expected: str = "") -> str:
    """SHA-256 of a file, compared with ``expected`` (whole, or its first eight digits or more) and with its name.

    By PyTorch's convention the digits in a name such as ``edsr_baseline_x2-1bc95232.pt`` begin the SHA-256.

    Raises
    ------
    InputError
        If the file is another one than expected or than its name says.
    """
    digest = file_sha256(path)
    expected = expected.strip().lower()
    if expected and not digest.startswith(expected):
        raise InputError(
            f"{path.name}: its SHA-256 begins with {digest[:12]}, but {expected[:12]} is expected; "
            "get the file again from its source."
        )
    named = _DIGITS_IN_NAME.search(path.name)
    if named and not digest.startswith(named[1]):
        raise InputError(
            f"{path.name}: its SHA-256 begins with {digest[:8]}, not with the digits in its name; "
            "get the file again from its source."
        )
    return digest


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Named arrays of a ``.pt``, ``.pth`` or ``.safetensors`` file, floating point as float32.

    The file is read in a child process with limits on time and memory (:mod:`napari_dainr.io.child`), and none of its
    content is run (:mod:`napari_dainr.io.checkpoint_extract`).

    Raises
    ------
    InputError
        If it is no file of weights, is damaged, or asks for anything but tensors.
    ResourceError
        If reading it needs more memory than may be taken.
    """
    path = Path(path)
    plain_file(path, "a file of weights")
    arrays, facts = read_in_child("checkpoint", path)
    names = facts.get("names", [])
    if sorted(arrays) != sorted(str(i) for i in range(len(names))):
        raise InputError(f"{path.name}: crashed the reader; the file is damaged, copy it again.")
    return {name: arrays[str(i)] for i, name in enumerate(names)}
