"""The two halves stay apart: what the form needs loads no torch, and what reconstructs loads no Qt and no napari."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "napari_dainr"
QT_AND_NAPARI = {"napari", "qtpy", "superqt", "magicgui", "PyQt5", "PyQt6", "PySide2", "PySide6", "vispy"}


def modules_under(*places: str) -> list[str]:
    """Dotted names of all modules in the given modules and packages of napari_dainr."""
    names = []
    for place in places:
        path = PACKAGE / place
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        assert files and all(file.is_file() for file in files), f"nothing at {place}"
        for file in files:
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def loaded_by(modules: list[str]) -> set[str]:
    """Top-level names in sys.modules of a fresh interpreter after importing the modules."""
    code = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "places",
    [
        ("__init__", "errors", "data", "recipe", "methods/config", "trajectory", "metrics", "analysis", "io"),
        ("phantom",),
        ("forecast", "machine"),
    ],
    ids=["data, recipe and files", "phantom", "forecast"],
)
def test_data_side_loads_no_torch_and_no_qt(places: tuple[str, ...]) -> None:
    loaded = loaded_by(modules_under(*places))
    assert "napari_dainr" in loaded
    assert "torch" not in loaded
    assert not loaded & QT_AND_NAPARI


def test_gui_loads_no_torch() -> None:
    if not any(find_spec(binding) for binding in ("PyQt6", "PySide6", "PyQt5")):
        pytest.skip("no Qt binding")
    loaded = loaded_by(modules_under("gui"))
    assert "qtpy" in loaded, "the widgets were not imported"
    assert "torch" not in loaded


def test_command_line_starts_without_torch_or_qt() -> None:
    loaded = loaded_by(modules_under("cli"))
    assert "torch" not in loaded
    assert not loaded & QT_AND_NAPARI


def test_engine_loads_no_qt_and_no_napari() -> None:
    modules = modules_under("engine", "probe", "methods", "coils", "ops", "inr")
    if find_spec("triton") is None:  # kernels cannot be written down without it; who uses them asks first
        modules = [name for name in modules if not name.endswith("_triton")]
    loaded = loaded_by(modules)
    assert "torch" in loaded
    assert not loaded & QT_AND_NAPARI


def test_fits_load_none_of_torchs_compilers(tmp_path: Path) -> None:
    """TorchDynamo takes seconds to import and brings Triton, which crashes beside the LLVM of a graphics driver."""
    code = f"""
import sys
from pathlib import Path
from napari_dainr.cli import main
from napari_dainr.io import read_kspace
from napari_dainr.methods.config import CONFIGS
from napari_dainr.recipe import Recipe, run
path = {str(tmp_path / "cine.h5")!r}
assert main(["simulate", path, "--matrix", "24", "--frames", "3", "--coils", "3"]) == 0
kspace = read_kspace(Path(path))
for method in CONFIGS:
    for event in run(Recipe(data=path, method=method, spokes_per_frame=5), kspace=kspace, until=2):
        pass
print("loaded:", *(name for name in ("torch._dynamo", "triton") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
