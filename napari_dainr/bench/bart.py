"""BART as a rival from outside: ``bart pics`` with temporal total variation on the same k-space and the same maps."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr.bench.memory import peak_memory
from napari_dainr.data import BinnedKSpace
from napari_dainr.errors import ResourceError

__all__ = ["bart_program", "bart_version", "read_cfl", "reconstruct_with_bart", "write_cfl"]

TIME = 10
"""BART's dimension of time; coils are dimension 3, the readout 1 and spokes 2 of non-Cartesian k-space."""
_POLL_S = 0.05


def bart_program() -> str | None:
    """The program, where it is on the path."""
    return shutil.which("bart")


def bart_version() -> str:
    """What BART calls itself."""
    program = bart_program()
    if program is None:
        return "absent"
    done = subprocess.run([program, "version"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or "unknown"


def write_cfl(array: NDArray[np.complexfloating], path: Path) -> None:
    """BART's files ``path.hdr`` and ``path.cfl``: dimensions as text, samples with the first index fastest."""
    path.with_name(path.name + ".hdr").write_text(
        "# Dimensions\n" + " ".join(str(n) for n in array.shape) + "\n", "ascii"
    )
    np.asarray(array, dtype=np.complex64).ravel(order="F").tofile(path.with_name(path.name + ".cfl"))


def read_cfl(path: Path) -> NDArray[np.complex64]:
    """An array that BART has written."""
    lines = path.with_name(path.name + ".hdr").read_text("ascii").splitlines()
    shape = [int(word) for word in lines[1].split()]
    return np.fromfile(path.with_name(path.name + ".cfl"), dtype=np.complex64).reshape(shape, order="F")


def reconstruct_with_bart(
    binned: BinnedKSpace, lam: float, iterations: int, coils: int | None = None, threads: int = 1
) -> tuple[NDArray[np.complex64], float, int]:
    """Temporal total variation by BART's ADMM, with our compressed coils and our maps.

    Returns
    -------
    image : (frame, y, x) complex64
    seconds : float
        Wall time of ``bart pics`` alone.
    peak_bytes : int
        Its largest resident memory; 0 where the system does not say.

    Raises
    ------
    ResourceError
        If BART is not there or fails.
    """
    from napari_dainr.methods.problem import make_problem

    program = bart_program()
    if program is None:
        raise ResourceError(
            "BART is not on the path: install it (on Debian and Ubuntu the package bart) or leave it out."
        )
    problem = make_problem(binned, coils=coils, threads=threads)
    frames, spokes, readout = binned.ktraj.shape[:3]
    kdata = problem.kdata.numpy().reshape(frames, -1, spokes, readout)
    ones = (1,) * (TIME - 4)
    samples = kdata.transpose(3, 2, 1, 0).reshape(1, readout, spokes, kdata.shape[1], *ones, frames)
    positions = np.zeros((3, readout, spokes, 1, *ones, frames), dtype=np.complex64)
    # BART's first axis is x; its samples carry the same sign and centre as ours.
    for axis, component in ((0, 1), (1, 0)):
        positions[axis] = binned.ktraj[..., component].transpose(2, 1, 0).reshape(positions.shape[1:])
    maps = problem.csm.numpy().transpose(2, 1, 0)[:, :, None, :]
    with tempfile.TemporaryDirectory(prefix="napari-dainr-bart-") as temporary:
        folder = Path(temporary)
        for name, array in (("kspace", samples), ("traj", positions), ("maps", maps)):
            write_cfl(array, folder / name)
        command = [program, "pics", "-S", "-d0", f"-i{iterations}", "-R", f"T:{1 << TIME}:0:{lam:g}"]
        command += ["-t", "traj", "kspace", "maps", "image"]
        seconds, peak = _timed(command, folder, threads)
        image = read_cfl(folder / "image")
    image = image.reshape(image.shape[0], image.shape[1], frames, order="F").transpose(2, 1, 0)
    return np.ascontiguousarray(image * np.float32(problem.unit)), seconds, peak


def _timed(command: list[str], folder: Path, threads: int) -> tuple[float, int]:
    """Run a program in a folder: seconds and peak memory, looked at while it runs."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    began, peak = time.monotonic(), 0
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            while True:
                try:
                    process.wait(_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    peak = max(peak, peak_memory(process.pid))
        finally:
            process.kill()
            process.wait()
    seconds = time.monotonic() - began
    if process.returncode != 0:
        words = (folder / "said").read_text(errors="replace").strip().splitlines()
        raise ResourceError(
            f"bart pics ended with code {process.returncode} ({words[-1] if words else 'it said nothing'})."
        )
    return seconds, peak
