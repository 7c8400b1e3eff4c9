"""A small raw data file, and a way to change parts of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_dainr.data import KSpace
from napari_dainr.io import child
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.trajectory import radial_ktraj

from .worker import Worker

SPOKES, COILS, READOUT = 24, 3, 32

Edit = Callable[..., Path]

CRAFTED_BYTES = 250_000_000
"""What a child may take for a file that is made to do harm; its server takes 40 to 100 MB of it."""


def _kspace(slices: int = 1, matrix: tuple[int, int] = (16, 16), hint: int | None = None, **changes: Any) -> KSpace:
    rng = np.random.default_rng(1)
    shape = (slices, COILS, SPOKES, READOUT)
    values = {
        "kdata": (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64),
        "ktraj": radial_ktraj(SPOKES, READOUT, matrix),
        "spoke_times_s": np.arange(SPOKES) * 0.004,
        "matrix": matrix,
        "fov_mm": (240.0 * matrix[0] / max(matrix), 240.0 * matrix[1] / max(matrix)),
        "name": "scan",
        "spokes_per_frame_hint": hint,
    }
    return KSpace(**(values | changes))


@pytest.fixture(scope="session")
def _worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def one_child(_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Children are forked from a server, under the same caps, rather than begun with an interpreter each."""
    monkeypatch.setattr(child, "run_child", _worker.run_child)
    return _worker


@pytest.fixture
def within_memory(one_child: Worker, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """The child that reads a file in the test stays far below what it may take: none of these files holds samples."""
    one_child.peak_bytes = 0
    yield
    record_property("peak_mb", one_child.peak_bytes / 1e6)
    assert one_child.peak_bytes < CRAFTED_BYTES < child.memory_cap(0), f"{one_child.peak_bytes / 1e6:.0f} MB"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What became of the mutants of each format, summed over the tests that were run side by side."""
    totals: dict[str, tuple[dict[str, int], float]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for key, value in report.user_properties:
                if key == "mutants" and report.when == "call":
                    name, counts, slowest = value
                    sums, longest = totals.get(name, ({}, 0.0))
                    sums = {what: sums.get(what, 0) + number for what, number in counts.items()}
                    totals[name] = sums, max(longest, slowest)
    if totals:
        terminalreporter.section("mutants")
    for name, (sums, longest) in totals.items():
        said = ", ".join(f"{number} {what}" for what, number in sums.items())
        terminalreporter.write_line(f"{name}: {said}; slowest {longest:.1f} s")


@pytest.fixture(scope="session")
def make_kspace() -> Callable[..., KSpace]:
    """``make_kspace(slices, matrix, hint)``: random samples on golden-angle spokes."""
    return _kspace


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 golden-angle spokes of 32 samples, 3 coils, matrix 16 × 16, field of view 240 mm, TR 4 ms."""
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    write_ismrmrd(_kspace(), path)
    return path


@pytest.fixture
def edit(scan: Path, tmp_path: Path) -> Edit:
    """``edit(rows=…, xml=…, path=…)``: a copy of the file with its acquisitions and header text changed."""

    def change(
        rows: Callable[[Any], Any] | None = None,
        xml: Callable[[str], str] | None = None,
        source: Path | None = None,
        group: str = "dataset",
    ) -> Path:
        with h5py.File(source or scan, "r") as file:
            data, text = file["dataset/data"][:], file["dataset/xml"][0].decode()
            dtype = file["dataset/data"].dtype
        if rows is not None:
            changed = rows(data)
            data = data if changed is None else changed
        path = tmp_path / "edited.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset(f"{group}/data", data=data, dtype=dtype)
            xml_text = xml(text) if xml is not None else text
            file.create_dataset(f"{group}/xml", data=[xml_text], dtype=h5py.string_dtype("utf-8"))
        return path

    return change
