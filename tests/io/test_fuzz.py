"""Mutants of every raw format: the parent never dies or hangs, and each ends in data or in one clear sentence.

300 of each format here; ``make fuzz`` runs 10,000 of each (NAPARI_DAINR_MUTANTS). Children are forked from a server
(:mod:`.worker`), and some mutants go through the product's own child as well, which must say the same.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.errors import DainrError, InputError
from napari_dainr.importing import preparing
from napari_dainr.io import child, read_kspace

from .mutation import mutate
from .sound_files import MAKERS, Sound
from .worker import Worker

N_MUTANTS = int(os.environ.get("NAPARI_DAINR_MUTANTS", "300"))
PART = 1000
"""Mutants in one test, so that many of them spread over the processors."""
N_REAL = 20 if N_MUTANTS > 1000 else 2
LIMIT_S = 6.0
"""What reading a mutant may take before its child is ended; with start and checks it then stays within 10 s."""
CPU_S = 1
"""Processor time after which it is ended before that: endless loops would be most of what is computed here."""
_PARENT_HANGS_S = 120


def _outcome(sound: Sound, limit_s: float | None = LIMIT_S) -> str:
    """ "read …" with a digest of the samples, or the sentence of the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kspace = read_kspace(sound.given, sound.options, timeout_s=limit_s)
    except DainrError as error:
        text = str(error)
        assert text.startswith(sound.given.stem) and text.endswith("."), text
        assert text.isprintable() and "Traceback" not in text and str(sound.given.parent) not in text, text
        return text
    assert np.isfinite(kspace.kdata).all() and np.isfinite(kspace.ktraj).all()
    assert np.isfinite(kspace.spoke_times_s).all()
    return f"read {hashlib.sha256(kspace.kdata.tobytes() + kspace.ktraj.tobytes()).hexdigest()}"


def _where(error: Exception) -> str:
    ours = [part for part in traceback.extract_tb(error.__traceback__) if "napari_dainr" in part.filename]
    at = "".join(f" {Path(part.filename).name}:{part.lineno}" for part in ours[-1:])
    return f"{type(error).__name__}: {error}{at}"


def _sometimes(estimate: Callable[..., Any]) -> Callable[..., Any]:
    """Gradient delays of every thirtieth file that is read: they take ten times as long as reading it."""
    asked = 0

    def measured(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked % 30:
            raise InputError("not measured.")
        return estimate(*arguments)

    return measured


@pytest.mark.parametrize("first", range(0, N_MUTANTS, PART))
@pytest.mark.parametrize("name", MAKERS)
def test_mutants(
    name: str,
    first: int,
    scan: Path,
    tmp_path: Path,
    one_child: Worker,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    sound = MAKERS[name](tmp_path, scan)
    monkeypatch.setattr(child, "processor_s", lambda size: CPU_S)
    monkeypatch.setattr(preparing, "estimate_delays", _sometimes(preparing.estimate_delays))
    assert _outcome(sound).startswith("read ")
    whole = sound.damaged.read_bytes()
    deaths, hangs = one_child.deaths, one_child.hangs
    read = refused = 0
    slowest = (0.0, -1)
    wrong: dict[str, int] = {}
    seeds = range(first, min(first + PART, N_MUTANTS))
    for seed in seeds:
        sound.damaged.write_bytes(mutate(whole, seed, sound.structure))
        faulthandler.dump_traceback_later(_PARENT_HANGS_S, exit=True)
        start = time.monotonic()
        try:
            if _outcome(sound).startswith("read "):
                read += 1
            else:
                refused += 1
        except Exception as error:
            wrong.setdefault(_where(error), seed)
        slowest = max(slowest, (time.monotonic() - start, seed))
    faulthandler.cancel_dump_traceback_later()
    counts = {"loaded": read, "refused": refused, "deaths": one_child.deaths - deaths, "hangs": one_child.hangs - hangs}
    record_property("mutants", (name, counts, slowest[0]))
    assert not wrong, "\n".join(f"seed {seed}: {text}" for text, seed in wrong.items())
    assert slowest[0] < 10, f"seed {slowest[1]} took {slowest[0]:.1f} s"
    # The mutants do bite, and damage to samples or padding is no reason to refuse.
    assert refused > len(seeds) // 20
    # Of a compressed MATLAB file hardly a byte is without checksum.
    assert read > 0 or name == "mat 5 zipped"


@pytest.mark.parametrize("name", MAKERS)
def test_the_products_own_child_says_the_same(
    name: str, scan: Path, tmp_path: Path, one_child: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = MAKERS[name](tmp_path, scan)
    whole = sound.damaged.read_bytes()
    for seed in range(N_REAL):
        sound.damaged.write_bytes(mutate(whole, seed, sound.structure))
        forked = _outcome(sound, None)
        with monkeypatch.context() as real:
            real.setattr(child, "run_child", _RUN_CHILD)
            assert _outcome(sound, None) == forked, f"seed {seed}"


_RUN_CHILD = child.run_child
