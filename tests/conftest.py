"""What several tests share: the benchmark data where it is at hand, small phantoms, and few threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before anything imports numpy or torch: tests run beside each other and beside people.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.data import KSpace

ROOT = Path(__file__).resolve().parents[1]
GOLDEN_ANGLE = np.pi * (np.sqrt(5) - 1) / 2
"""Radians, 111.246…°; written out here so that tests do not take it from the code under test."""


_calls: list[str] = []
_WITH_ADDRESS = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"})
_WITH_HOST = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """What Python asks before it opens a connection; sockets of the machine itself are let through."""
    if event in _WITH_ADDRESS:
        host = arguments[1][0] if isinstance(arguments[1], tuple) else None  # a path: a socket of this machine
    elif event in _WITH_HOST:
        host = arguments[0]
    else:
        return
    if host is not None and str(host) not in _HERE:
        _calls.append(f"{event} {host}")
        raise AssertionError(f"a test wanted the network: {event} {host}")


sys.addaudithook(_refuse_network)


@pytest.fixture(autouse=True)
def network_calls() -> Iterator[list[str]]:
    """No test reaches for the network; also not where the refusal is swallowed, or on another thread."""
    _calls.clear()
    yield _calls
    assert not _calls


@pytest.fixture(scope="session")
def repository() -> Path:
    """Top folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the benchmark files: $NAPARI_DAINR_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("NAPARI_DAINR_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no benchmark data at {folder}; set NAPARI_DAINR_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def gpu() -> str:
    """Name of a CUDA device; skips where there is none."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return "cuda"


@pytest.fixture(scope="session")
def tiny_images() -> NDArray[np.complex64]:
    """(frame, y, x) = (5, 33, 28) complex64: a disk that beats and a bright spot that moves; odd and not square."""
    n_frames, ny, nx = 5, 33, 28
    y, x = np.meshgrid(np.arange(ny) - ny // 2, np.arange(nx) - nx // 2, indexing="ij")
    frames = []
    for phase in 2 * np.pi * np.arange(n_frames) / n_frames:
        disk = (x**2 + y**2) < (8 + 2 * np.cos(phase)) ** 2
        spot = np.exp(-((x - 4 * np.cos(phase)) ** 2 + (y - 4 * np.sin(phase)) ** 2) / 6)
        frames.append((0.6 * disk + 0.8 * spot) * np.exp(1j * 0.05 * x))
    return np.stack(frames).astype(np.complex64)


@pytest.fixture(scope="session")
def tiny_maps() -> NDArray[np.complex64]:
    """(coil, y, x) = (3, 33, 28) complex64: smooth maps, sum of squares 1."""
    ny, nx = 33, 28
    y, x = np.meshgrid(np.linspace(-1, 1, ny), np.linspace(-1, 1, nx), indexing="ij")
    maps = np.stack(
        [
            np.exp(-((y - np.sin(a)) ** 2 + (x - np.cos(a)) ** 2) / 2 + 1j * (a + 0.4 * x * np.sin(a)))
            for a in 2 * np.pi * np.arange(3) / 3
        ]
    )
    return (maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))).astype(np.complex64)


@pytest.fixture(scope="session")
def tiny_kspace(tiny_images: NDArray[np.complex64], tiny_maps: NDArray[np.complex64]) -> KSpace:
    """Golden-angle radial k-space of ``tiny_images`` by the sum that defines it: 5 frames × 8 spokes, 3 coils.

    m(k) = Σ_r S(r) d(r) exp(−i 2π k·r / N), r from the pixel n // 2, k in cycles per field of view; TR 10 ms,
    field of view 330 × 280 mm.
    """
    n_frames, ny, nx = tiny_images.shape
    per_frame, n_readout = 8, 2 * ny
    angles = GOLDEN_ANGLE * np.arange(n_frames * per_frame)
    radius = (np.arange(n_readout) - n_readout // 2) / 2
    ktraj = radius[None, :, None] * np.stack([np.sin(angles), np.cos(angles)], axis=-1)[:, None, :]
    kdata = np.empty((1, len(tiny_maps), len(angles), n_readout), np.complex64)
    y, x = np.arange(ny) - ny // 2, np.arange(nx) - nx // 2
    for spoke in range(len(angles)):
        waves_y = np.exp(-2j * np.pi * np.outer(ktraj[spoke, :, 0], y) / ny)
        waves_x = np.exp(-2j * np.pi * np.outer(ktraj[spoke, :, 1], x) / nx)
        kdata[0, :, spoke] = np.einsum(
            "ky,cyx,kx->ck", waves_y, tiny_maps * tiny_images[spoke // per_frame], waves_x, optimize=True
        )
    return KSpace(
        kdata=kdata,
        ktraj=ktraj.astype(np.float32),
        spoke_times_s=0.01 * np.arange(len(angles)),
        matrix=(ny, nx),
        fov_mm=(330.0, 280.0),
        name="tiny",
        spokes_per_frame_hint=per_frame,
    )
