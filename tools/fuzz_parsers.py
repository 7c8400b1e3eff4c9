"""Coverage-guided fuzzing of parsers that are Python code of this package; an optional run for developers.

Needs ``pip install atheris`` (Linux, a Python for which it has a wheel). Then, for ten minutes a parser::

    python tools/fuzz_parsers.py regions corpus-regions -max_total_time=600
    python tools/fuzz_parsers.py recipe corpus-recipe -max_total_time=600
    python tools/fuzz_parsers.py bart corpus-bart -max_total_time=600

The folder keeps what reached new lines. Sound files put there first are a good start. A parser passes as long as it
reads a file or raises an InputError; anything else ends the run, and libFuzzer keeps the file that did it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["napari_dainr", "json"]):
    from napari_dainr.errors import InputError
    from napari_dainr.io import bart_extract
    from napari_dainr.io.regions import load_regions
    from napari_dainr.recipe import load_recipe

PARSERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "regions": ("fuzzed.json", load_regions),
    "recipe": ("fuzzed.json", load_recipe),
    "bart": ("fuzzed.hdr", lambda path: bart_extract.extract(path.with_suffix(".cfl"))),
}


def main() -> None:
    """Fuzz the parser that the first argument names; the rest goes to libFuzzer."""
    name, parse = PARSERS[sys.argv.pop(1)]
    folder = Path(tempfile.mkdtemp())
    (folder / "fuzzed.cfl").write_bytes(bytes(8 * 6))

    def once(data: bytes) -> None:
        (folder / name).write_bytes(data)
        with suppress(InputError):
            parse(folder / name)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
