"""Mutants of every raw format: the parent never dies or hangs, and each ends in data or in one clear sentence.

300 of each format here; ``make fuzz`` runs 10,000 of each (NAPARI_DAINR_MUTANTS).
"""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.errors import DainrError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace

from . import mrd2_writer, seq_writer, twix_writer
from .mutation import mutate
from .worker import Worker

N_MUTANTS = int(os.environ.get("NAPARI_DAINR_MUTANTS", "300"))
LIMIT_S = 6.0
"""What reading a mutant may take before its child is ended; with start and checks it then stays within 10 s."""

Ranges = tuple[tuple[int, int], ...]


def _kdata(coils: int, spokes: int, samples: int) -> Any:
    rng = np.random.default_rng(5)
    shape = (coils, spokes, samples)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def _twix(path: Path, modern: bool) -> Ranges:
    protocol = {
        "alTR[0]": "5000",
        "sKSpace.lBaseResolution": "13",
        "sKSpace.ucTrajectory": "2",
        "sSliceArray.asSlice[0].dReadoutFOV": "260",
    }
    data = _kdata(3, 21, 26)
    lines = [twix_writer.Line(data[:, i], 2 * i, counters={"line": i}) for i in range(21)]
    noise = twix_writer.Line(data[:, 0], flags=("noise",))
    twix_writer.write(path, twix_writer.Measurement([noise, *lines], protocol), modern=modern)
    start = path.read_bytes().find(b"MeasYaps")
    first = 20512 if modern else 10272
    return ((0, 200), (start, start + 400), (first, first + 240), (first, path.stat().st_size))


def _mrd2(path: Path) -> Ranges:
    pytest.importorskip("mrd")
    data = _kdata(3, 21, 26)
    mrd2_writer.write(path, [mrd2_writer.acquisition(data[:, i], 2 * i) for i in range(21)])
    start = path.read_bytes().find(b'"types"')
    return ((0, 64), (path.stat().st_size - 22 * 700, path.stat().st_size - 21 * 640), (start, path.stat().st_size))


def _ismrmrd(path: Path, scan: Path) -> Ranges:
    path.write_bytes(scan.read_bytes())
    return ((0, 2048),)


def _seq(path: Path) -> Ranges:
    """A sequence beside a sound Siemens file of as many spokes."""
    pytest.importorskip("pypulseq")
    _twix(path.with_name("scan.dat"), True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seq_writer.write(path, np.arange(21) * 111.246, 26, 0.26)
    start = path.read_bytes().find(b"[BLOCKS]")
    return ((0, 200), (start, start + 600), (start, path.stat().st_size))


MAKERS: dict[str, tuple[str, Callable[..., Ranges]]] = {
    "ismrmrd": (".h5", _ismrmrd),
    "twix VE": (".dat", lambda path, scan: _twix(path, True)),
    "twix VB": (".dat", lambda path, scan: _twix(path, False)),
    "mrd2": (".mrd", lambda path, scan: _mrd2(path)),
    "seq": (".seq", lambda path, scan: _seq(path)),
}
"""Format → suffix, and what writes a sound file of it and says where its structure lies."""


@pytest.mark.parametrize("name", MAKERS)
def test_mutants(name: str, scan: Path, tmp_path: Path, one_child: Worker) -> None:
    suffix, make = MAKERS[name]
    sound = tmp_path / f"sound{suffix}"
    structure = make(sound, scan)
    assert _outcome(sound) == "read"
    whole = sound.read_bytes()
    path = tmp_path / f"mutant{suffix}"
    outcomes = {"read": 0, "refused": 0}
    slowest = (0.0, -1)
    wrong: dict[str, int] = {}
    for seed in range(N_MUTANTS):
        path.write_bytes(mutate(whole, seed, structure))
        start = time.monotonic()
        try:
            outcomes[_outcome(path)] += 1
        except Exception as error:
            ours = [part for part in traceback.extract_tb(error.__traceback__) if "napari_dainr" in part.filename]
            at = "".join(f" {Path(part.filename).name}:{part.lineno}" for part in ours[-1:])
            wrong.setdefault(f"{type(error).__name__}: {error}{at}", seed)
        slowest = max(slowest, (time.monotonic() - start, seed))
    print(f"{name}: {outcomes}, {one_child.deaths} deaths, {one_child.hangs} hangs, slowest {slowest}")
    assert not wrong, "\n".join(f"seed {seed}: {text}" for text, seed in wrong.items())
    assert slowest[0] < 10, f"seed {slowest[1]} took {slowest[0]:.1f} s"
    # The mutants do bite, and damage to samples or padding is no reason to refuse.
    assert outcomes["refused"] > N_MUTANTS // 20
    assert outcomes["read"] > 0


def _outcome(path: Path) -> str:
    options = ImportOptions()
    if path.suffix == ".seq":
        path, options = path.with_name("scan.dat"), ImportOptions(trajectory_file=str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kspace = read_kspace(path, options, timeout_s=LIMIT_S)
    except DainrError as error:
        text = str(error)
        assert text.startswith(path.stem) and text.endswith("."), text
        assert "\n" not in text and "Traceback" not in text, text
        return "refused"
    assert np.isfinite(kspace.kdata).all() and np.isfinite(kspace.ktraj).all()
    assert np.isfinite(kspace.spoke_times_s).all()
    return "read"
