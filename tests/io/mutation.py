"""Damage for files, shared by the tests of all formats: the same seed makes the same mutant."""

from __future__ import annotations

import struct

import numpy as np

__all__ = ["KINDS", "mutate"]

KINDS = ("cut", "flip", "bomb", "noise", "double", "delete")
"""Truncation, single bits, impossible integers, random bytes, a part twice, a part gone."""

_BOMBS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_DIGITS = (b"-1", b"0", b"65536", b"4294967295", b"9223372036854775807", b"1e400", b"nan")


def mutate(whole: bytes, seed: int, structure: tuple[tuple[int, int], ...] = ((0, 2048),)) -> bytes:
    """A damaged copy.

    Parameters
    ----------
    whole
        The file; not empty.
    seed
        What is damaged and how.
    structure
        Byte ranges (start, stop) where the format keeps its sizes and offsets; half of the damage goes there, as
        random places of a large file nearly always hit samples.
    """
    rng = np.random.default_rng(seed)
    data = bytearray(whole)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    at = _place(rng, len(data), structure)
    if kind == "cut":
        return bytes(data[:at])
    if kind == "flip":
        for position in (at, *(_place(rng, len(data), structure) for _ in range(int(rng.integers(0, 30))))):
            data[position] ^= 1 << int(rng.integers(8))
    elif kind == "bomb":
        _bomb(data, at, rng)
    elif kind == "noise":
        data[at : at + 64] = rng.bytes(64)
    elif kind == "double":
        data[at:at] = data[at : at + int(rng.integers(1, 600))]
    else:
        del data[at : at + int(rng.integers(1, 600))]
    return bytes(data)


def _place(rng: np.random.Generator, size: int, structure: tuple[tuple[int, int], ...]) -> int:
    if rng.random() < 0.5:
        start, stop = structure[int(rng.integers(len(structure)))]
        return int(rng.integers(min(start, size - 1), max(min(stop, size), min(start, size - 1) + 1)))
    return int(rng.integers(size))


def _bomb(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """An impossible number over what is there: as digits where there are digits, else in binary."""
    end = at
    while end < len(data) and end < at + 20 and data[end] in b"0123456789.":
        end += 1
    if end > at:
        data[at:end] = _DIGITS[int(rng.integers(len(_DIGITS)))]
        return
    value, width = _BOMBS[int(rng.integers(len(_BOMBS)))], int(rng.choice([2, 4, 8]))
    data[at : at + width] = struct.pack("<Q", value | (value << 32))[:width]
