"""Regions of the viewer without a viewer: steps back and forth, copies, styles, reading from layers, presentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.analysis.curves import MODES, Curve, series_curve
from napari_dainr.analysis.quantities import Onset
from napari_dainr.analysis.regions import ROLES, Region, RegionSet, box_corners, ellipse_corners
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.gui.curves.figure import FigurePlan, write_figure
from napari_dainr.gui.curves.present import View, drawn_curves, facts_of, legend_of, quantity_entries
from napari_dainr.gui.curves.reading import Reading, cost, look_at, mask_in, read
from napari_dainr.gui.curves.state import RegionState
from napari_dainr.gui.curves.style import CurveStyle, line_of, region_colour, styles_of

IMAGE = np.random.default_rng(3).random((9, 21, 16)).astype(np.float32)


def layer(image: Any = IMAGE, **more: Any) -> Any:
    from napari.layers import Image

    keywords: dict[str, Any] = {"scale": (1.5, 2.0, 3.0), "translate": (4.0, 1.0, 0.0), "units": ("s", "mm", "mm")}
    return Image(image, **{**keywords, **more})


def ours(method: str = "dainr", n: int = 9) -> dict[str, Any]:
    marks = [bool(i % 3) for i in range(n)]
    recipe = {"method": method, "spokes_per_frame": 13}
    return {"dainr": {"method": method, "recipe": recipe, "frame_duration_s": 4.5, "interpolated": marks}}


def circle(role: str = "AO", at: tuple[float, float] = (21.0, 24.0), radius: float = 8.0, **more: Any) -> Region:
    return Region(ellipse_corners(at, (radius, radius)), "ellipse", role, **more)


# -------------------------------------------------------------------- state

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["add", "move", "rename", "role", "remove", "twin", "lock"]), st.integers(0, 5))
)


def act(state: RegionState, name: str, number: int) -> None:
    regions = state.regions.regions
    region = regions[number % len(regions)] if regions else None
    if name == "add" or region is None:
        state.set(state.regions.put(circle(list(ROLES)[number], name=state.regions.free_name("x"))))
    elif name == "move":
        state.set(state.regions.put(region.moved(1.0, number)))
    elif name == "rename":
        state.rename(region.id, f"name {number}")
    elif name == "role":
        state.set_role(region.id, list(ROLES)[number])
    elif name == "remove":
        state.remove(region.id)
    elif name == "twin":
        state.duplicate(region.id, (1.0, 1.0))
    else:
        state.change(region.id, locked=not region.locked)


@given(ACTIONS)
@settings(max_examples=60, deadline=None)
def test_undo_goes_back_to_the_start_and_redo_to_the_end(actions: list[tuple[str, int]]) -> None:
    state = RegionState()
    seen = [state.regions]
    for name, number in actions:
        act(state, name, number)
        if state.regions != seen[-1]:
            seen.append(state.regions)
    for before in reversed(seen[:-1]):
        assert state.undo()
        assert state.regions == before
    assert not state.can_undo
    assert not state.undo()
    for after in seen[1:]:
        assert state.redo()
        assert state.regions == after
    assert not state.redo()


def test_steps_with_one_tag_are_one_step() -> None:
    state = RegionState()
    state.set(RegionSet((circle(),)))
    region_id = state.regions.regions[0].id
    for number in range(5):
        state.change(region_id, tag="spin", name=f"n{number}")
    state.undo()
    assert state.regions.regions[0].name == "Aorta"


def test_a_locked_region_is_not_removed_and_names_follow_roles() -> None:
    state = RegionState()
    state.set(RegionSet((circle(locked=True), circle("PV", name="my vein"))))
    aorta, vein = state.regions.regions
    assert not state.remove(aorta.id)
    state.set_role(aorta.id, "LIVER")
    state.set_role(vein.id, "LV")
    assert [(r.name, r.role) for r in state.regions] == [("Liver", "LIVER"), ("my vein", "LV")]


def test_the_next_role_is_guessed() -> None:
    state = RegionState()
    for role, then in (("AO", "PV"), ("PV", "LIVER"), ("LIVER", "OTHER"), ("LV", "MYO")):
        state.set(state.regions.put(circle(role)))
        state.drew(role)
        assert state.next_role == then


def test_a_copy_stands_for_its_origin_in_one_series_only() -> None:
    state = RegionState()
    state.set(RegionSet((circle(),)))
    (origin,) = state.regions
    twin_id = state.copy_to(origin.id, "B", "GRASP")
    twin = state.regions.get(twin_id)
    assert twin is not None
    assert twin.name == "Aorta · GRASP"
    counts = [(r is origin, key, state.counts_for(r, key)) for r in (origin, twin) for key in ("A", "B")]
    assert counts == [(True, "A", True), (True, "B", False), (False, "A", False), (False, "B", True)]
    state.remove(twin.id)
    assert state.counts_for(origin, "B")


def test_threshold_on_and_off() -> None:
    state = RegionState()
    state.set(RegionSet((circle(), Region(np.array([[3.0, 3.0]]), "voxel"))))
    (region, voxel) = state.regions
    assert state.set_threshold(region.id, 0.3)
    changed = state.regions.get(region.id)
    assert changed is not None
    assert (changed.kind, changed.outline, changed.fraction) == ("threshold", "ellipse", 0.3)
    state.set_threshold(region.id, None)
    assert state.regions.get(region.id) == region
    assert not state.set_threshold(voxel.id, 0.3)


# -------------------------------------------------------------------- style


def test_roles_differ_without_colour_and_regions_of_one_role_in_shade() -> None:
    regions = [circle(role) for role in ROLES] + [circle("AO")]
    look = look_at(layer())
    styles = [styles_of(region, regions, look, [look]) for region in regions]
    assert len({str(style.line) for style in styles[:6]}) == 6
    assert len({style.marker for style in styles[:6]}) == 6
    assert len({region_colour(region, regions) for region in regions}) == 7


def test_series_differ_by_line_and_the_reference_is_behind() -> None:
    looks = [look_at(layer(metadata=ours(method))) for method in ("dainr", "grasp", "nufft")]
    assert len({str(line_of(look, looks)) for look in looks}) == 3
    style = styles_of(circle(), [circle()], looks[2], looks)
    assert not style.marked
    assert styles_of(circle(), [circle()], looks[2], looks[2:]).marked


# -------------------------------------------------------------------- reading


def test_a_layer_reads_as_its_series_does() -> None:
    """The viewer and the command line give the same curve, to the last bit."""
    marks = np.array(ours()["dainr"]["interpolated"])
    series = ImageSeries(IMAGE.astype(np.complex64), 4 + 1.5 * np.arange(9), (2.0, 3.0), 4.5, marks, "dainr")
    image = layer(series.magnitude, metadata=ours())
    region = circle()
    mine, theirs = read(region, look_at(image)).curve, series_curve(series, region)
    assert mine is not None
    for name in ("times_s", "mean", "sd", "median", "minimum", "maximum", "interpolated"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
    assert (mine.n, mine.frame_duration_s) == (theirs.n, 4.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, bool])
def test_any_grey_layer_can_be_read(dtype: type) -> None:
    image = (
        np.arange(9 * 21 * 16).reshape(9, 21, 16) % 2
        if dtype is bool
        else np.arange(9 * 21 * 16).reshape(9, 21, 16) % 200
    )
    look = look_at(layer(image.astype(dtype), units=("pixel", "pixel", "pixel")))
    reading = read(circle(), look)
    assert reading.curve is not None
    inside = mask_in(circle(), look).full()
    assert np.allclose(reading.curve.mean, image.astype(dtype)[:, inside].mean(axis=1))
    assert not look.timed


def test_strided_and_lazy_arrays_are_read_in_the_box_of_the_region_only() -> None:
    class Lazy:
        shape, ndim, dtype, size = IMAGE.shape, 3, IMAGE.dtype, IMAGE.size
        asked: list[tuple[slice, ...]] = []  # noqa: RUF012

        def __getitem__(self, key: tuple[slice, ...]) -> Any:
            self.asked.append(key)
            return IMAGE[key]

    look = look_at(layer(np.asfortranarray(IMAGE)))
    plain = read(circle(), look).curve
    from dataclasses import replace

    lazy = read(circle(), replace(look, image=Lazy())).curve  # type: ignore[arg-type]
    assert plain is not None
    assert lazy is not None
    assert np.array_equal(plain.mean, lazy.mean)
    rows = Lazy.asked[0][1]
    assert rows.stop - rows.start < 12


def test_turned_and_mirrored_layers_are_read_where_they_are_seen() -> None:
    """Against the layer's own transform, pixel by pixel."""
    image = layer(scale=(1.0, -2.0, 3.0), rotate=30, translate=(0.0, 20.0, 5.0))
    look = look_at(image)
    centre = np.asarray(image.data_to_world((0, 10, 8)))[-2:]
    region = Region(box_corners(centre[0] - 9, centre[1] - 7, centre[0] + 9, centre[1] + 7), "rectangle")
    inside = mask_in(region, look).full()
    expected = np.zeros_like(inside)
    for y in range(21):
        for x in range(16):
            at = np.asarray(image.data_to_world((0, y, x)))[-2:] - centre
            expected[y, x] = abs(at[0]) < 9 and abs(at[1]) < 7
    assert inside.sum() > 20
    assert np.array_equal(inside, expected)


def test_what_cannot_be_read_has_a_reason() -> None:
    look = look_at(layer())
    assert "outside" in read(circle(at=(900.0, 24.0)), look).remark
    assert "holds no pixel centre" in read(circle(at=(20.9, 25.3), radius=0.3), look).remark
    assert "far outside" in read(circle(at=(1e9, 0.0)), look).remark
    one = read(Region(np.array([[21.0, 24.0]]), "voxel"), look)
    assert one.curve is not None
    assert one.curve.n == 1
    assert "only 1 pixel;" in one.remark


def test_threshold_takes_what_enhances_after_the_baseline() -> None:
    image = np.ones((9, 21, 16), np.float32)
    image[0:3, 8:10, 8] = 5  # bright before
    image[5:, 11, 7:9] = 3  # enhances
    region = circle().changed(kind="threshold", outline="ellipse", fraction=0.01)
    look = look_at(layer(image))
    reading = read(region, look, (4.0, 7.0))
    assert reading.curve is not None
    assert reading.curve.n == 2
    assert np.array_equal(reading.curve.mean, [1] * 5 + [3] * 4)


def test_cost_counts_boxes() -> None:
    look = look_at(layer())
    assert 9 * 25 < cost([circle()], look) < 9 * 140
    assert cost([circle(at=(1e5, 1e5))], look) <= 9


# -------------------------------------------------------------------- presentation


def bolus() -> Reading:
    image = np.ones((20, 21, 16), np.float32)
    image[6:] += np.exp(-0.15 * np.arange(14))[:, None, None].astype(np.float32)
    return read(circle(), look_at(layer(image, metadata=ours(n=20))))


def test_modes_are_drawn_relative_to_the_baseline() -> None:
    reading = bolus()
    window = (4.0, 4.0 + 1.5 * 5)
    lines = {
        mode: drawn_curves([reading], [reading.region], [reading.look], View(mode, "mean", window))[0] for mode in MODES
    }
    assert np.isclose(lines["relative"].centre.max(), 100)
    assert np.isclose(lines["normalised"].centre.max(), 2)
    assert np.allclose(lines["absolute"].centre, lines["signal"].centre - 1)
    assert lines["signal"].interpolated.sum() == 13
    none = drawn_curves([reading], [reading.region], [reading.look], View("relative", "mean", (90.0, 99.0)))[0]
    assert np.isnan(none.centre).all()


def test_quantities_say_why_there_are_none() -> None:
    reading = bolus()
    entries, _, remarks = quantity_entries([reading], View("signal", "mean", (4.0, 11.5)), Onset(), 10.0)
    assert not remarks
    assert entries[0].quantities.peak_relative_enhancement == pytest.approx(100)
    from dataclasses import replace

    assert isinstance(reading.curve, Curve)
    odd = replace(reading, curve=replace(reading.curve, times_s=reading.curve.times_s[::-1]))
    entries, _, remarks = quantity_entries([odd], View("signal", "mean", (4.0, 11.5)), Onset(), 10.0)
    assert not entries
    assert "do not ascend" in remarks[0]


def test_legend_and_facts() -> None:
    reading = bolus()
    reference = Reading(reading.region, look_at(layer(metadata=ours("nufft"))), reading.curve)
    looks = [reading.look, reference.look]
    legend = legend_of([reading, reference], [reading.region], looks)
    assert [text for text, _ in legend] == ["Aorta", "DA-INR, 13 spokes", "NuFFT, 13 spokes (reference)"]
    assert isinstance(legend[0][1], CurveStyle)
    assert facts_of(looks, (1.0, 2.0)).startswith("Native temporal resolution 4.5 s · hollow markers")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_figures_hold_the_notice_and_no_date(tmp_path: Path, suffix: str) -> None:
    reading = bolus()
    view = View("relative", "mean", (4.0, 11.5))
    curves = drawn_curves([reading], [reading.region], [reading.look], view)
    legend = legend_of([reading], [reading.region], [reading.look])
    plan = FigurePlan(tuple(curves), ("time (s)", "y"), tuple(legend), True, (0.0, 40.0, -10.0, 120.0),
                      baseline_s=(4.0, 11.5), facts="Native temporal resolution 4.5 s")  # fmt: skip
    path = tmp_path / f"figure{suffix}"
    write_figure(plan, path)
    data = path.read_bytes()
    if suffix == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            assert picture.width == 2160
            colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        assert (np.abs(colours.astype(int) - (0xD5, 0x5E, 0x00)).max(axis=1) < 12).sum() > 500
    else:
        assert data.startswith(b"%PDF" if suffix == ".pdf" else b"<?xml")
        assert b"CreationDate" not in data
        assert b"dc:date" not in data
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_figures_refuse_what_they_cannot_do(tmp_path: Path) -> None:
    plan = FigurePlan((), ("", ""), (), True, (0.0, 1.0, 0.0, 1.0))
    with pytest.raises(InputError, match="end the name in"):
        write_figure(plan, tmp_path / "figure.jpeg")
    with pytest.raises(InputError, match="no curve"):
        write_figure(plan, tmp_path / "figure.png")
