"""The save dialogs of the docks offer every format of the command line, and what is chosen there is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_dainr.data import ImageSeries
from napari_dainr.io.export_formats import FORMATS

from .conftest import WAIT_MS

SOME = [form for form in FORMATS if form.title in ("DICOM", "NIfTI", "BART")]
"""A folder, a suffix of two parts, a pair of files; every suffix is looked at in tests/io/test_exports_every.py."""


@pytest.mark.parametrize("form", SOME, ids=lambda form: form.title)
def test_the_chosen_format_is_written(
    form: Any, dock: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[str] = []

    def choose(parent: Any, title: str, name: str, kinds: str) -> tuple[str, str]:
        offered.extend(kinds.split(";;"))
        kind = next(kind for kind in offered if kind.startswith(f"{form.title} ("))
        return str(tmp_path / "out"), kind  # no suffix typed: the chosen format gives it

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    image = np.arange(2 * 9 * 7).reshape(2, 9, 7).astype(np.complex64)
    dock.session.series = ImageSeries(image, np.array([0.1, 0.3]), (2.0, 2.0), 0.2, np.zeros(2, bool), "nufft")
    dock._ask_export()
    qtbot.waitUntil(lambda: "exported" in dock.banner.text.text(), timeout=WAIT_MS)
    assert len(offered) == len(FORMATS)
    assert (tmp_path / f"out{form.suffixes[0]}").exists()
