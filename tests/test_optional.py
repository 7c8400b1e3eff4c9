"""What a user reads when an optional package is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from napari_dainr import optional
from napari_dainr.errors import ResourceError
from napari_dainr.optional import require, why_no_triton


def test_returns_the_module() -> None:
    assert require("os.path", extra=None, purpose="Anything") is sys.modules["os.path"]


@pytest.mark.parametrize(
    ("extra", "command"), [("gpu", 'pip install "napari-dainr[gpu]"'), (None, "pip install absent_")]
)
def test_says_what_to_install(extra: str | None, command: str) -> None:
    with pytest.raises(ResourceError) as caught:
        require("absent_package.part", extra=extra, purpose="The transform on the GPU")
    text = str(caught.value)
    assert text.startswith("The transform on the GPU needs the package absent_package, which is not installed")
    assert command in text
    assert "\n" not in text


def test_installed_but_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise OSError('libcuda.so.1:\\n cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ResourceError, match=r"cannot be loaded \(libcuda.so.1: cannot open shared object file\)"):
        require("broken_package", extra="gpu", purpose="The transform")


def test_a_missing_dependency_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_package.py").write_text("import a_dependency_that_is_absent\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ResourceError, match=r"half_package, which is installed but .*a_dependency_that_is_absent"):
        require("half_package", extra=None, purpose="The transform")


def test_triton_is_not_imported_beside_another_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process; seen with Mesa's software renderer in the viewer."""
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    assert "not installed" in (why_no_triton() or "")
    monkeypatch.setattr(optional, "find_spec", lambda name: object())
    for maps, fine in (("7f00 r-xp /usr/lib/libc.so.6\n", True), ("7f00 r-xp /usr/lib/libLLVM-15.so.1\n", False)):
        monkeypatch.setattr(Path, "read_text", lambda self, text=maps: text)
        assert (why_no_triton() is None) is fine
    monkeypatch.setitem(sys.modules, "triton", sys)
    assert why_no_triton() is None
