"""Regions, sets of them, and their text."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis import PixelGrid, Region, RegionSet
from napari_dainr.analysis.phases import Phase
from napari_dainr.analysis.regions import OUTLINES, ROLES, box_corners, ellipse_corners
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError

TRIANGLE = np.array([[0.0, 0.0], [0.0, 9.0], [7.5, 1.0]])
NUMBER = st.floats(-500, 500, allow_nan=False)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    outline = draw(st.sampled_from(OUTLINES))
    count = {"ellipse": 4, "rectangle": 4, "voxel": 1}.get(outline, draw(st.integers(3, 8)))
    vertices = draw(st.lists(st.tuples(NUMBER, NUMBER), min_size=count, max_size=count))
    more: dict[str, Any] = {"kind": outline}
    if outline != "voxel" and draw(st.booleans()):
        more = {"kind": "threshold", "outline": outline, "fraction": draw(st.floats(0.01, 1))}
    return Region(
        np.array(vertices), role=draw(st.sampled_from(list(ROLES))), name=draw(st.text(max_size=12)),
        locked=draw(st.booleans()), arrival_s=draw(st.none() | NUMBER), **more,
    )  # fmt: skip


@st.composite
def phase_rows(draw: st.DrawFn) -> tuple[Phase, ...]:
    borders = sorted(draw(st.lists(NUMBER, min_size=2, max_size=6, unique=True)))
    names = st.text(min_size=1, max_size=8).filter(lambda text: bool(text.strip()))
    return tuple(Phase(draw(names), start, end) for start, end in pairwise(borders))


@settings(max_examples=100, deadline=None)
@given(st.lists(regions(), max_size=4), st.booleans(), st.none() | phase_rows(), st.none() | st.tuples(NUMBER, NUMBER))
def test_text_gives_the_regions_again(
    some: list[Region], with_geometry: bool, phases: tuple[Phase, ...] | None, window: tuple[float, float] | None
) -> None:
    geometry = PixelGrid((12, 31), (1 / 3, 0.1), (-7.7, 1e-3)) if with_geometry else None
    one = RegionSet(tuple(some), geometry, None if window is None else (min(window), max(window)), phases)
    text = one.to_json()
    again = RegionSet.from_json(text)
    assert again == one
    assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(one, again, strict=True))
    assert RESEARCH_USE in text


def test_text_says_version_axes_and_unit() -> None:
    facts = json.loads(RegionSet((Region(TRIANGLE, role="AO"),)).to_json())
    assert (facts["schema_version"], facts["axes"], facts["unit"]) == (1, ["y", "x"], "mm")
    assert facts["regions"][0]["vertices_mm"] == TRIANGLE.tolist()


def damaged(**changes: Any) -> str:
    phases = (Phase("Early arterial", 0, 8), Phase("Late arterial", 8, 20))
    facts = json.loads(RegionSet((Region(TRIANGLE),), PixelGrid((4, 4), (1, 1)), (0, 5), phases).to_json())
    region = facts["regions"][0]
    for key, value in changes.items():
        (facts if key in facts else region)[key] = value
    return json.dumps(facts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no regions of this program"),
        ('{"format": "other"}', "no regions of this program"),
        (damaged(schema_version=2), "schema_version is 2"),
        (damaged(kind="star"), "'star'"),
        (damaged(role="HEART"), "'HEART'"),
        (damaged(id="7"), "UUID"),
        (damaged(vertices_mm=[[0, 0]]), "1 vertices do not make a polygon"),
        (damaged(vertices_mm=[[0, 0], [1, float("nan")], [2, 2]]), "not finite"),
        (damaged(vertices_mm=[[0, 0, 0]] * 4), "(y, x) pairs"),
        (damaged(vertices_mm=[[0, 0], [0], [1, 1]]), "wrong kind"),
        (damaged(vertices_mm="here"), "wrong kind"),
        (damaged(locked="no"), "locked"),
        (damaged(kind="ellipse"), "3 vertices do not make a ellipse"),
        (damaged(fraction=0.3), "threshold"),
        (damaged(kind="threshold", fraction=0), "above 0"),
        (damaged(kind="threshold", fraction=float("nan")), "not finite"),
        (damaged(kind="threshold", outline="voxel"), "cannot hold a threshold"),
        (damaged(regions=[3]), "wrong kind"),
        (damaged(arrival_s=float("nan")), "give a finite time"),
        (damaged(arrival_s="soon"), "wrong kind"),
        (damaged(baseline_s=[7]), "wrong kind"),
        (damaged(baseline_s=[7, 3]), "is no window"),
        (damaged(phases=[{"name": "Early", "start_s": 3}]), "missing"),
        (damaged(phases=[{"name": "Early", "start_s": 3, "end_s": 3}]), "must end after it begins"),
        (damaged(phases=[{"name": " ", "start_s": 3, "end_s": 4}]), "no name"),
        (damaged(phases=[{"name": name, "start_s": 3, "end_s": 9} for name in "AB"]), "does not begin where A ends"),
        (damaged(regions=json.loads(damaged())["regions"] * 2), "twice"),
        (damaged(geometry={"shape": [0, 4], "pixel_mm": [1, 1], "origin_mm": [0, 0]}), "has none"),
        (damaged(geometry={"shape": [4, 4], "pixel_mm": [1, -1], "origin_mm": [0, 0]}), "above 0"),
        (damaged(geometry={"shape": [4, 4]}), "missing"),
    ],
)
def test_other_texts_get_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        RegionSet.from_json(text, "rois.json")
    said = str(caught.value)
    assert said.startswith("rois.json: ") and words in said and said.endswith(".") and "\n" not in said


def test_region_is_a_value_that_cannot_be_changed() -> None:
    given_vertices = TRIANGLE.copy()
    region = Region(given_vertices)
    given_vertices[:] = 0
    np.testing.assert_array_equal(region.vertices, TRIANGLE)
    with pytest.raises(ValueError, match="read-only"):
        region.vertices[0] = 5
    moved = region.moved(1, -2)
    assert moved.id == region.id and moved != region
    np.testing.assert_array_equal(moved.vertices, TRIANGLE + np.array([1, -2]))
    assert region.changed(name="  left \n lobe ").name == "left lobe"
    assert Region(TRIANGLE, role="PV").name == "Portal vein"


def test_duplicate_is_another_region() -> None:
    region = Region(TRIANGLE, role="LV", locked=True, name="LV", arrival_s=4.5)
    copy = region.duplicate("LV 2", (3, 4))
    assert copy.id != region.id and copy.name == "LV 2" and copy.role == "LV" and not copy.locked
    assert copy.arrival_s is None, "elsewhere the bolus arrives at another time"
    np.testing.assert_array_equal(copy.vertices, TRIANGLE + np.array([3, 4]))


def test_set_replaces_by_id_and_keeps_order() -> None:
    a, b, c = (Region(TRIANGLE + i, role=role) for i, role in enumerate(("AO", "PV", "AO")))
    three = RegionSet((a, b)).put(c)
    changed = three.put(b.changed(name="vein"))
    assert [region.name for region in changed] == ["Aorta", "vein", "Aorta"]
    by_hand = RegionSet((a, b), None, (0, 4), (Phase("Early arterial", 4, 9),))
    assert (by_hand.put(c).without(a.id).baseline_s, by_hand.put(c).phases) == ((0, 4), by_hand.phases)
    assert len(three) == 3 and three.get(b.id) == b
    assert three.without(a.id).regions == (b, c)
    assert three.first("AO") is a and three.first("MYO") is None
    assert three.free_name("Aorta") == "Aorta 2" and three.free_name("Liver") == "Liver"
    with pytest.raises(InputError, match="twice"):
        RegionSet((a, a.changed(name="b")))


def test_roles_differ_in_colour_and_in_line_style() -> None:
    assert len({role.colour for role in ROLES.values()}) == len({role.dashes for role in ROLES.values()}) == len(ROLES)
    from matplotlib.lines import Line2D

    for role in ROLES.values():
        Line2D([], [], color=role.colour, linestyle=role.line_style)


def test_corners_of_ellipses() -> None:
    np.testing.assert_allclose(ellipse_corners((5, 7), (2, 3)), box_corners(3, 4, 7, 10))
    np.testing.assert_allclose(ellipse_corners((0, 0), (1, 4), 90)[0], [-4, 1], atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (9, 8), (9, 11)])
def test_geometry_has_the_centre_pixel_in_the_middle_of_the_field(shape: tuple[int, int]) -> None:
    n = 3
    series = ImageSeries(
        np.zeros((n, *shape), np.complex64), np.arange(n, dtype=float), (2.0, 1.5), 1.0, np.zeros(n, bool), "nufft"
    )
    place = PixelGrid.of(series)
    np.testing.assert_allclose(place.to_mm([size // 2 for size in shape]), np.array(place.fov_mm) / 2)
    np.testing.assert_allclose(place.to_pixels(place.to_mm([[1.5, 2.25]])), [[1.5, 2.25]])
    assert place.same_field(PixelGrid((4, 4), (place.fov_mm[0] / 4, place.fov_mm[1] / 4)))
    assert not place.same_field(PixelGrid(shape, (2.1, 1.5)))
    assert PixelGrid.from_facts(place.to_facts()) == place
