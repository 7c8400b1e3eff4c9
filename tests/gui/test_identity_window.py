"""Thirty planted identifiers in each raw format: none is in the window, the layers, the clipboard or the log."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from napari.utils.notifications import notification_manager
from qtpy import QtWidgets
from qtpy.QtCore import QAbstractListModel, Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_dainr.analysis.regions import Region, ellipse_corners
from napari_dainr.cli.importing import add_import_flags, import_values
from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.compare.widget import CompareDock
from napari_dainr.gui.curves import commands
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.importing.commands import show_import
from napari_dainr.gui.importing.form import OptionsForm
from napari_dainr.gui.widget import find_dock
from napari_dainr.importing import ImportOptions
from napari_dainr.io import child

from ..io.test_identity import CANARIES, PLANTERS  # noqa: TID252 -- tests are no package
from ..io.worker import Worker  # noqa: TID252
from .conftest import WAIT_MS

FOLDER, STEM = "FOLDEROFAPATIENT", "FILEOFAPATIENT"
NEEDED = {"mrd2": "mrd", "seq": "pypulseq"}
"""Packages without which a format cannot be written here."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    one = Worker()
    yield one
    one.close()


def _options(flags: list[str]) -> ImportOptions:
    """What the user says of a file, as the command line has it."""
    parser = argparse.ArgumentParser()
    add_import_flags(parser)
    return ImportOptions.model_validate(import_values(parser.parse_args(flags)))


def _texts(thing: Any) -> Iterator[tuple[str, str]]:
    """(where, text) of all that one widget or action shows."""
    for name in ("text", "toolTip", "statusTip", "whatsThis", "windowTitle", "placeholderText", "title", "toPlainText",
                 "toHtml", "accessibleName", "accessibleDescription", "objectName"):  # fmt: skip
        said = getattr(thing, name, None)
        if callable(said):
            try:
                yield name, str(said())
            except (TypeError, RuntimeError):  # a text of one item among many; something that Qt is deleting
                continue
    if isinstance(thing, QtWidgets.QComboBox):
        for i in range(thing.count()):
            yield "item", f"{thing.itemText(i)} {thing.itemData(i)!r}"
    if isinstance(thing, QtWidgets.QAbstractItemView) and (model := thing.model()) is not None:
        roles = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.EditRole)
        for row in range(model.rowCount()):
            for column in range(1 if isinstance(model, QAbstractListModel) else model.columnCount()):
                for role in roles:
                    yield "cell", str(model.index(row, column).data(role))


def window_texts() -> list[tuple[str, str]]:
    """(where, text) of every widget and action of the program, shown or hidden, but what the user typed of a file."""
    widgets = QApplication.allWidgets()
    typed = [field for form in widgets if isinstance(form, OptionsForm) for field in form.findChildren(QLineEdit)]
    actions = [action for top in QApplication.topLevelWidgets() for action in top.findChildren(QAction)]
    return [
        (f"{type(thing).__name__}.{where}", text)
        for thing in {*widgets, *actions}.difference(typed)
        for where, text in _texts(thing)
    ]


def clipboard_text() -> str:
    mime = QApplication.clipboard().mimeData()
    return " ".join(mime.data(kind).data().decode("utf-8", "replace") for kind in mime.formats())


def layer_texts(viewer: Any) -> str:
    """All that layers know; of their recipes not where the user's file is and what the user said of it."""
    found = f"{viewer.title} {viewer.status} "
    for layer in viewer.layers:
        facts = dict(layer.metadata.get("dainr", {}))
        facts["recipe"] = {k: v for k, v in facts.get("recipe", {}).items() if k not in ("data", "importing")}
        facts["metadata"] = {key: value for key, value in layer.metadata.items() if key != "dainr"}
        found += f"{layer.name} {facts!r} {layer.source!r} {layer.help} {getattr(layer, 'features', '')}"
    return found


def told() -> str:
    return " ".join(f"{note.message} {note!r}" for note in notification_manager.records)


class _Look:
    """Everything that the program says anywhere, searched after every step for what was planted."""

    def __init__(self, viewer: Any, log: pytest.LogCaptureFixture) -> None:
        self.viewer, self.log = viewer, log
        self.found: set[str] = set()
        self.seen = 0

    def now(self, step: str) -> None:
        window = window_texts()
        self.seen += len(window)
        places = [*window, ("layers", layer_texts(self.viewer)), ("notifications", told()), ("log", self.log.text)]
        places.append(("clipboard", clipboard_text()))
        for where, text in places:
            self.found |= {f"{step}: {canary} in {where}" for canary in CANARIES if canary in text}
            # The user may copy the sentence of an error, which names the file.
            if STEM in text and (where == "log" or (where == "clipboard" and not step.endswith("damaged"))):
                self.found.add(f"{step}: name of the file in {where}")
            # Only the tooltip of its name says where the opened file is.
            if FOLDER in text and where != "QElidingLabel.toolTip":
                self.found.add(f"{step}: folder in {where}")


@pytest.mark.filterwarnings("ignore")  # pypulseq warns of its own defaults
def test_no_identity_is_in_the_window(
    viewer: Any,
    qtbot: Any,
    tmp_path: Path,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(child, "run_child", worker.run_child)
    caplog.set_level(logging.DEBUG, "napari_dainr")
    QApplication.clipboard().clear()
    private = tmp_path / FOLDER
    private.mkdir()
    curves, compare = find_or_open(viewer, CurvesDock), find_or_open(viewer, CompareDock)
    look = _Look(viewer, caplog)
    steps: list[str] = []

    def is_read() -> bool:
        return not (curves.reader._soon.isActive() or curves.reader._beside.busy or curves.marks.is_due)

    for name, (file, plant) in PLANTERS.items():
        if name in NEEDED and not _is_there(NEEDED[name]):
            continue
        place = private / name.replace(" ", "")
        place.mkdir()
        path = place / f"{STEM}{Path(file).suffix}"
        flags = plant(path)
        # As it is dropped: what cannot be known is asked for, and what is asked shows nothing that was planted.
        viewer.open(path, plugin="napari-dainr")
        main = find_dock(viewer)
        assert main is not None
        qtbot.waitUntil(lambda main=main: main.model.phase in (Phase.READY, Phase.FAILED), timeout=4 * WAIT_MS)
        look.now(f"{name}: dropped")
        if flags:
            assert main.session.load(Source(path=path, importing=_options(flags)))
            qtbot.waitUntil(lambda main=main: main.model.phase in (Phase.READY, Phase.FAILED), timeout=4 * WAIT_MS)
        assert main.model.phase is Phase.READY, main.banner.text.text()
        importing = show_import()
        assert importing is not None
        qtbot.waitUntil(lambda importing=importing: not importing.latest.busy, timeout=4 * WAIT_MS)
        assert importing.found is not None, importing.banner.text.text()
        look.now(f"{name}: read")
        steps.append(name)

    main.model.form.method = "nufft"
    main.session.start()
    qtbot.waitUntil(lambda: main.model.phase is Phase.DONE, timeout=4 * WAIT_MS)
    layer = main.session.layer
    assert layer is not None
    viewer.layers.selection.active = layer
    centre = [s * n / 2 for s, n in zip(layer.scale[-2:], layer.data.shape[-2:], strict=True)]
    curves.regions.ensure(layer)
    curves.regions.add(Region(ellipse_corners(tuple(centre), (60.0, 60.0)), "ellipse", "AO"))
    qtbot.waitUntil(is_read, timeout=4 * WAIT_MS)
    for copy in (curves.files.copy_quantities, curves.files.copy_curves, commands.copy_command):
        copy()
        assert len(clipboard_text().splitlines()) > 2
        look.now(f"copied by {copy.__name__}")
    compare.measure.copy_table()
    look.now("copied from the comparison")

    for name, (file, plant) in list(PLANTERS.items()):
        if name in NEEDED and not _is_there(NEEDED[name]):
            continue
        path = private / f"{STEM}{Path(file).suffix}"
        plant(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with patch.object(main.session, "asked", None):
            viewer.open(path, plugin="napari-dainr")
            qtbot.waitUntil(lambda: main.model.phase in (Phase.READY, Phase.FAILED), timeout=4 * WAIT_MS)
        if main.model.phase is Phase.FAILED:
            main.banner._copy.click()
            assert clipboard_text()
        look.now(f"{name}: damaged")
    assert len(steps) >= 9
    assert look.seen > 10_000
    assert not look.found, "\n".join(sorted(look.found))


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
