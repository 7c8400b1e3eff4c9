"""The child's side of reading a Pulseq sequence: where each sample lies in k-space, in cycles per metre.

Gradients are integrated as pypulseq does it, so angles are those of the sequence and the first sample lies half a dwell
time after the readout begins; no rule for angles is put in their place.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from napari_dainr.errors import InputError
from napari_dainr.io.child import Extracted
from napari_dainr.io.readouts import require

__all__ = ["extract"]

_MAX_BYTES = 512 << 20


def extract(path: Path) -> Extracted:
    """Integrate the gradients of a sequence.

    Returns
    -------
    arrays
        ``k`` (readout, sample, 3) float64: (kx, ky, kz) of every readout with gradients, cycles per metre.
    facts
        ``fov_mm``: (x, y) of the sequence's definitions, or None; ``still``: readouts without gradients (noise).

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    require(path.stat().st_size <= _MAX_BYTES, "is too large for a Pulseq sequence; give the .seq file.")
    with path.open("rb") as file:
        require(b"[BLOCKS]" in file.read(), "is no Pulseq sequence; give the .seq file that was measured.")
    import pypulseq

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sequence = pypulseq.Sequence()
        try:
            sequence.read(str(path))
            counts = _samples_of_readouts(sequence)
            require(bool(counts), "holds no readouts; give the sequence that was measured.")
            k = np.asarray(sequence.calculate_kspace()[0], dtype=np.float64).T
        except InputError:
            raise
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, AssertionError, UnicodeDecodeError):
            raise InputError("is damaged, or of an unknown version of Pulseq; write the sequence again.") from None
    usual = int(np.bincount(counts).argmax())
    require(
        all(count == usual for count in counts) and len(k) == usual * len(counts),
        "its readouts have unequal numbers of samples; only sequences with spokes of one length can be used.",
    )
    k = k.reshape(len(counts), usual, 3)
    require(bool(np.isfinite(k).all()), "its gradients do not give a finite trajectory; write the sequence again.")
    moving = np.linalg.norm(k[:, -1] - k[:, 0], axis=-1) > 1e-6
    require(bool(moving.any()), "has no gradients during its readouts; give the sequence that was measured.")
    fov = sequence.get_definition("FOV")
    given = np.atleast_1d(np.asarray(fov, dtype=np.float64)) if len(np.atleast_1d(fov)) >= 2 else np.zeros(0)
    sound = len(given) >= 2 and bool(np.isfinite(given).all()) and bool((given[:2] > 0).all())
    return {"k": np.ascontiguousarray(k[moving])}, {
        "fov_mm": [float(given[0]) * 1e3, float(given[1]) * 1e3] if sound else None,
        "still": int((~moving).sum()),
    }


def _samples_of_readouts(sequence: object) -> list[int]:
    """Samples of each readout, in order."""
    blocks, events = sequence.block_events, sequence.adc_library.data  # type: ignore[attr-defined]
    return [int(events[blocks[number][5]][0]) for number in blocks if blocks[number][5]]
