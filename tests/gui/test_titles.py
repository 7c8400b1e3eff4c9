"""What leaves the viewer calls series by their methods; the name of a file, often that of a person, is nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from napari.components import ViewerModel
from npe2 import PluginManifest
from PIL.ImageDraw import ImageDraw
from qtpy.QtWidgets import QApplication

from napari_dainr.analysis.regions import Region, ellipse_corners
from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._layers import layer_data
from napari_dainr.gui._time_layers import brief_names, title_of, titles_of
from napari_dainr.gui._truth import add_truth
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.compare.widget import CompareDock
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.xt.dock import XtDock
from napari_dainr.recipe import Recipe

from .conftest import WAIT_MS, ScriptedEngine

PERSON = "Mustermann_Erika"


@pytest.fixture(autouse=True)
def readers_of_napari(npe2pm: Any, preferences: None) -> None:
    """They are not there otherwise, and name a layer after its file."""
    npe2pm.register(PluginManifest.from_distribution("napari"))


@pytest.fixture
def opened(viewer: Any, tmp_path: Path, tiny_kspace: Any) -> list[Any]:
    """Two results of one method, a foreign series and a truth, all from files with the name of a person."""
    made = []
    for seed in (1.0, 2.0):
        recipe = Recipe(data=f"{PERSON}.h5", method="grasp", spokes_per_frame=5)
        data, keywords, _ = layer_data(ScriptedEngine().series(recipe, tiny_kspace, seed), recipe, PERSON)
        made.append(viewer.add_image(data, **keywords))
    file = tmp_path / f"{PERSON}.npy"
    np.save(file, made[0].data * 1.1)
    (foreign,) = viewer.open(file, plugin="napari")
    foreign.scale, foreign.translate, foreign.units = made[0].scale, made[0].translate, made[0].units
    truth = add_truth(viewer, file.name, made[0].data, None, made[0])
    assert all(PERSON in layer.name for layer in (*made, foreign, truth))
    return [*made, foreign, truth]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a figure or a cine is given."""
    words: list[str] = []
    on_figure, on_frame = Text.set_text, ImageDraw.text

    def set_text(self: Text, text: object) -> None:
        words.append(str(text))
        on_figure(self, text)

    def draw_text(self: ImageDraw, place: Any, text: str, *args: Any, **keywords: Any) -> None:
        words.append(text)
        on_frame(self, place, text, *args, **keywords)

    monkeypatch.setattr(Text, "set_text", set_text)
    monkeypatch.setattr(ImageDraw, "text", draw_text)
    return words


def test_titles_hold_no_name_of_a_file(opened: list[Any]) -> None:
    assert titles_of(opened) == ["GRASP, 5 spokes per frame (1)", "GRASP, 5 spokes per frame (2)", "series", "truth"]


def test_names_that_the_user_gave_stay(tmp_path: Path) -> None:
    model = ViewerModel()
    np.save(tmp_path / "scan.npy", np.ones((3, 4, 5)))
    (layer,) = model.open(tmp_path / "scan.npy", plugin="napari")
    assert title_of(layer) == "series"
    layer.name = "before treatment"
    assert title_of(layer) == "before treatment"
    assert title_of(model.add_image(np.ones((3, 4, 5)), name="mine")) == "mine"


def test_names_side_by_side_are_short_and_come_back(opened: list[Any], viewer: Any) -> None:
    compare = find_or_open(viewer, CompareDock)
    before = [layer.name for layer in opened]
    compare.grid_button.click()
    assert [layer.name for layer in opened] == ["GRASP", "GRASP [1]", before[2], "truth"]
    opened[1].name = "mine"
    compare.grid_button.click()
    assert [layer.name for layer in opened] == [before[0], "mine", *before[2:]]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["GRASP · 13 spokes · scan", "DA-INR · 13 spokes · scan"], ["GRASP", "DA-INR"]),
        (["GRASP · 13 spokes · scan", "GRASP · 13 spokes · scan [1]"], ["GRASP", "GRASP [1]"]),
        (["GRASP · 13 spokes · scan", "GRASP · 21 spokes · scan"], ["GRASP · 13 spokes", "GRASP · 21 spokes"]),
        (["GRASP · 13 spokes · a", "GRASP · 13 spokes · b"], ["GRASP · 13 spokes · a", "GRASP · 13 spokes · b"]),
        (["scan", "truth · scan"], ["scan", "truth"]),
    ],
)
def test_short_names_differ(names: list[str], short: list[str]) -> None:
    assert brief_names(names) == short


def test_nothing_that_is_exported_or_copied_holds_the_name_of_a_file(
    opened: list[Any], viewer: Any, dock: Any, qtbot: Any, tmp_path: Path, drawn: list[str]
) -> None:
    curves, compare = find_or_open(viewer, CurvesDock), find_or_open(viewer, CompareDock)
    xt, cine = find_or_open(viewer, XtDock), find_or_open(viewer, CineDock)
    out = tmp_path / "out"
    out.mkdir()
    copied: list[str] = []

    def clipboard() -> None:
        copied.append(QApplication.clipboard().text())

    def written(*names: str) -> None:
        qtbot.waitUntil(lambda: all((out / name).exists() for name in names), timeout=WAIT_MS)

    for layer in opened:
        curves.reader.choose(str(layer.unique_id), True)
    curves.regions.ensure(opened[0])
    middle = np.array(opened[0].data.shape[1:]) * opened[0].scale[1:] / 2
    curves.regions.add(Region(ellipse_corners(tuple(middle), tuple(0.4 * middle)), "ellipse", "AO"))
    qtbot.waitUntil(lambda: len(curves.curve_entries()) == 4, timeout=WAIT_MS)
    for suffix in ("png", "svg", "pdf"):
        curves.files.save_figure(out / f"curves.{suffix}")
    curves.files.save_curves(out / "curves.csv")
    curves.files.save_quantities(out / "quantities.csv")
    curves.files.save_regions(out / "regions.json")
    for copy in (curves.files.copy_curves, curves.files.copy_quantities):
        copy()
        clipboard()
    written("curves.png", "curves.svg", "curves.pdf", "curves.csv", "quantities.csv", "regions.json")

    compare.measure.reference.choose(opened[3])
    qtbot.waitUntil(lambda: len(compare.measure.rows) == 3, timeout=WAIT_MS)
    compare.measure.copy.click()
    clipboard()
    assert "GRASP, 5 spokes per frame (2)" in copied[-1]
    compare.measure.show_maps.click()
    qtbot.waitUntil(lambda: len(viewer.layers) >= 8, timeout=WAIT_MS)

    xt.new_line()
    qtbot.waitUntil(lambda: len(xt.view.titles) == len(xt.layers) > 6, timeout=WAIT_MS)
    xt.export(out / "xt.png")
    xt.export(out / "xt.npz")
    xt.export(out / "arrays.npy")
    written("xt.png", *(f"xt-{n}.npz" for n in range(1, 8)), *(f"arrays-{n}.json" for n in range(1, 8)))

    for number, layer in enumerate(opened):
        viewer.layers.selection.active = layer
        qtbot.waitUntil(lambda layer=layer: cine.layer is layer, timeout=WAIT_MS)
        assert cine.export(out / f"{number}.gif"), cine.banner.text.text()
        qtbot.waitUntil(lambda: cine.job is None, timeout=WAIT_MS)
    written("0.gif", "3.gif")

    assert any("GRASP, 5 spokes per frame (2)" in words for words in drawn)
    assert [words for words in (*copied, *drawn) if PERSON in words] == []
    for file in out.iterdir():
        assert PERSON.encode() not in file.read_bytes(), file.name
    for file in out.glob("xt-*.npz"):
        with np.load(file) as arrays:
            assert PERSON not in str(arrays["recon"])
