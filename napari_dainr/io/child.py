"""Reading untrusted files in a short-lived child process, with a cap on memory and time.

Damaged files make HDF5 hang beyond any signal and crash the interpreter. So the parent never opens one: a child reads
it, leaves plain ``.npy`` arrays and a small JSON file in a private temporary folder, and the parent checks those.
Nothing that the child prints is shown, because it may quote the file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError, ResourceError, printable, reason_of

__all__ = ["Extracted", "answer", "label", "limit", "main", "memory_cap", "plain_file", "read_in_child", "run_child"]

Extracted = tuple[dict[str, NDArray[Any]], dict[str, Any]]
"""Arrays by name, and JSON-able facts."""

READERS = {
    "bart": "napari_dainr.io.bart_extract",
    "checkpoint": "napari_dainr.io.checkpoint_extract",
    "hdf5_arrays": "napari_dainr.io.hdf5_arrays_extract",
    "ismrmrd": "napari_dainr.io.ismrmrd_extract",
    "matlab": "napari_dainr.io.matlab_extract",
    "mrd2": "napari_dainr.io.mrd2_extract",
    "npz": "napari_dainr.io.npz_extract",
    "seq": "napari_dainr.io.seq_extract",
    "twix": "napari_dainr.io.twix_extract",
}
"""Format → module whose ``extract(path, **options)`` returns :data:`Extracted` or raises InputError."""

_FACTS = "facts.json"
_SIGXCPU = getattr(signal, "SIGXCPU", 24)  # Windows has none
_START = "import sys; sys.path.append(sys.argv.pop(1)); from napari_dainr.io.child import main; main(sys.argv[1:])"


def plain_file(path: Path, wanted: str = "a k-space file") -> int:
    """Size in bytes of a file that may be read; raises InputError for anything that is not a plain, non-empty file."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path.name}: is a folder; give {wanted}.")
        if not path.exists():
            raise InputError(f"{path.name}: there is no such file; check the name.")
        if not path.is_file():
            raise InputError(f"{path.name}: is not a regular file; give {wanted}.")
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name!r}: cannot be read ({reason_of(error)}); check the file.") from None
    if size == 0:
        raise InputError(f"{path.name}: is empty; copy the file again.")
    return size


def label(path: Path) -> str:
    """A name for titles and logs: the file's own, without folder and suffix, printable."""
    return printable(Path(path).stem)


def memory_cap(file_bytes: int) -> int:
    """Bytes a reader may take: half of the memory up to 8 GiB, more for a file that needs it, never above 80 %.

    Small files get less, 2 GiB and 400 times their size: where a damaged one asks HDF5 for 4 GB, it is not even filled.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        total = 8 << 30
    usual = min(0.5 * total, 8 << 30, (2 << 30) + 400 * file_bytes)
    return int(min(0.8 * total, max(usual, 4 * file_bytes)))


def read_in_child(reader: str, path: Path, timeout_s: float | None = None, **options: Any) -> Extracted:
    """Run a reader of :data:`READERS` on a file in a child process.

    Parameters
    ----------
    reader, path
        Format name and file.
    timeout_s
        Wall time after which the child is ended; by default a minute, and longer for large files, of which it may
        compute :func:`processor_s` seconds.
    options
        Further arguments of the reader, JSON-able.

    Raises
    ------
    InputError
        If the file cannot be read, crashes the reader, or takes too long.
    ResourceError
        If reading it needs more memory than may be taken.
    """
    path = Path(path)
    size = plain_file(path)
    limit_s = timeout_s if timeout_s is not None else 60 + size / 10e6
    cpu_s = min(processor_s(size), ceil(limit_s) + 5)
    limits = [str(memory_cap(size)), str(cpu_s)]
    with tempfile.TemporaryDirectory(prefix="napari-dainr-") as folder:
        try:
            code = run_child([reader, os.path.abspath(path), folder, *limits, json.dumps(options)], limit_s)
        except subprocess.TimeoutExpired:
            raise _too_long(path.name, limit_s) from None
        except OSError as error:
            raise ResourceError(
                f"{path.name}: no process can be started to read it ({reason_of(error)}); free some memory."
            ) from None
        if code == -_SIGXCPU:
            raise _too_long(path.name, cpu_s)
        return _collect(Path(folder), path.name, code)


def processor_s(file_bytes: int) -> int:
    """Seconds of processor time that a reader may take.

    Damaged HDF5 files end in endless loops, which a small file should not need a minute to be found in. The slowest
    reader, that of sequences, takes 0.8 s for a megabyte.
    """
    return 8 + 3 * file_bytes // 1_000_000


def _too_long(name: str, limit_s: float) -> InputError:
    return InputError(f"{name}: reading it took longer than {limit_s:.0f} s and was ended; the file is likely damaged.")


def run_child(arguments: list[str], limit_s: float) -> int:
    """Exit code of a child that runs :func:`main` with these arguments, below zero for a signal.

    Raises
    ------
    subprocess.TimeoutExpired
        After ``limit_s`` seconds; the child is ended.
    OSError
        If no process can be started.
    """
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-P", "-c", _START, root, *arguments],
        env=dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", HDF5_PLUGIN_PATH="::"),
        cwd=arguments[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=limit_s,
        check=False,
    )
    return done.returncode


def _collect(folder: Path, name: str, code: int) -> Extracted:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if "error" in facts:
            kind = ResourceError if facts.get("resource") else InputError
            raise kind(f"{name}: {facts['error']}")
        if code != 0:
            raise ValueError("the reader did not end well")
        arrays = {file.stem: np.load(file, allow_pickle=False) for file in folder.glob("*.npy")}
    except (OSError, ValueError, TypeError, EOFError):
        raise InputError(f"{name}: crashed the reader; the file is damaged, copy or convert it again.") from None
    return arrays, facts


def limit(memory_bytes: int, cpu_s: int | None = None) -> None:
    """Cap the memory, and where given the processor time, of this process; there is no way back."""
    try:
        import resource
    except ImportError:  # Windows has no rlimits; the wall clock still holds there
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if cpu_s is not None:
        # The signal of the soft limit ends the process; the hard one is for a library that catches it.
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 2))


def main(arguments: list[str]) -> None:
    """The child: ``reader path folder memory_bytes cpu_s options``; leaves arrays and facts, or an error, there."""
    reader, path, folder = arguments[0], Path(arguments[1]), Path(arguments[2])
    limit(int(arguments[3]), int(arguments[4]))
    answer(reader, path, folder, json.loads(arguments[5]))


def answer(reader: str, path: Path, folder: Path, options: dict[str, Any]) -> None:
    """Read a file and leave arrays and facts, or an error, in a folder; never raises what the file causes."""
    facts: dict[str, Any]
    try:
        extract: Callable[..., Extracted] = import_module(READERS[reader]).extract
        arrays, facts = extract(path, **options)
        for key, array in arrays.items():
            np.save(folder / f"{key}.npy", array, allow_pickle=False)
    except InputError as error:
        facts = {"error": str(error)}
    except MemoryError:
        facts = {
            "error": "reading it needs more memory than this machine can give; use a larger one.",
            "resource": True,
        }
    except ImportError as error:  # no fault of the file
        package = (error.name or "of this format").partition(".")[0]
        facts = {
            "error": f"needs the package {package}, which is missing or cannot be loaded; run `pip install {package}`.",
            "resource": True,
        }
    except Exception as error:  # the zoo of library exceptions; their texts may quote the file
        facts = {"error": f"is damaged or not what it seems ({type(error).__name__}); copy or convert it again."}
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
