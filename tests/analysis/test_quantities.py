"""Quantities of curves whose quantities are known, exact to 1e-6, and "not defined" where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.analysis.curves import Curve
from napari_dainr.analysis.phases import start_limits, suggest_phases, with_start
from napari_dainr.analysis.quantities import (
    ONSETS,
    QUANTITIES,
    Onset,
    Quantities,
    curve_quantities,
    quantities_of,
    region_onset,
    shown,
)
from napari_dainr.analysis.regions import Region, box_corners
from napari_dainr.errors import InputError


def bolus(
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, float]]:
    """Times, signal and truth: flat, a straight rise to the peak, a straight fall, flat; at uneven times.

    The three corners are among the times, so the curve that is straight between its samples is the curve itself.
    """
    base, height = rng.uniform(1, 1000), rng.uniform(0.05, 4)
    first, onset = rng.uniform(0, 3), rng.uniform(8, 40)
    peak, level = onset + rng.uniform(2, 30), rng.uniform(-0.3, 0.9)
    settled = peak + rng.uniform(5, 60)
    last = settled + rng.uniform(50, 100)
    top, end = base * (1 + height), base * (1 + level * height)
    times = np.unique(np.concatenate([[first, onset, peak, settled, last], rng.uniform(first, last, 60)]))
    signal = np.interp(times, [first, onset, peak, settled, last], [base, base, top, end, end])
    return times, signal, {
        "first": first, "onset": onset, "peak": peak, "settled": settled, "last": last, "base": base, "top": top,
        "end": end,
    }  # fmt: skip


def area(truth: dict[str, float], length: float) -> float:
    """Integral of the enhancement from the onset, by triangles and trapezoids."""
    stop = truth["onset"] + length
    rise, fall = truth["top"] - truth["base"], truth["end"] - truth["base"]
    peak, settled = truth["peak"], truth["settled"]
    total = 0.0
    for start, end, at_start, at_end in (
        (truth["onset"], peak, 0.0, rise),
        (peak, settled, rise, fall),
        (settled, truth["last"], fall, fall),
    ):
        if stop <= start:
            break
        until = min(stop, end)
        reached = at_start + (at_end - at_start) * (until - start) / (end - start)
        total += (at_start + reached) / 2 * (until - start)
    return total


@pytest.mark.parametrize("method", ["intersection", "threshold"])
def test_a_thousand_analytic_curves(method: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(1000):
        times, signal, truth = bolus(rng)
        length = float(rng.uniform(5, 55))
        window = (truth["first"], truth["onset"] - 1e-9)
        got = quantities_of(times, signal, window, onset=Onset(method), auc_s=length)
        to_peak = truth["peak"] - truth["onset"]
        rise = truth["top"] - truth["base"]
        wanted = {
            "baseline": truth["base"],
            "maximum": truth["top"],
            "maximum_time_s": truth["peak"],
            "maximum_deviation": rise,
            "peak_relative_enhancement": 100 * rise / truth["base"],
            "bolus_arrival_time_s": truth["onset"],
            "time_to_peak_s": to_peak,
            "wash_in_slope": rise / to_peak,
            "wash_out_slope": (truth["top"] - truth["end"]) / (truth["peak"] - truth["last"]),
            "auc": area(truth, length),
            "auc_relative": 100 * area(truth, length) / truth["base"],
            "auc_from_s": truth["onset"],
            "auc_to_s": truth["onset"] + length,
        }
        for key, value in wanted.items():
            assert getattr(got, key) == pytest.approx(value, rel=1e-6, abs=1e-9), key
        assert got.wash_out_slope is not None and got.wash_out_slope < 0


def test_threshold_is_so_many_deviations_above_a_noisy_baseline() -> None:
    """A baseline of 9, 11, 9, 11 … has mean 10 and SD √(n / (n − 1)); the rise from 10 at t = 10 is 2 per second."""
    times = np.arange(0, 30.0)
    signal = np.where(times <= 9, np.where(times % 2 == 0, 9.0, 11.0), 10 + 2 * (times - 10))
    sd = np.sqrt(10 / 9)
    got = quantities_of(times, signal, (0, 9), onset=Onset("threshold", sds=4))
    assert got.bolus_arrival_time_s == pytest.approx(10 + 4 * sd / 2, rel=1e-9)
    assert got.baseline == 10
    # One frame above the level is not an arrival, two are.
    signal[4] = 30
    found = quantities_of(times, signal, (5, 9), onset=Onset("threshold"))
    assert found.bolus_arrival_time_s is not None and found.bolus_arrival_time_s > 10
    spike = np.where(times == 15, 50.0, np.where(times % 2 == 0, 9.0, 11.0))
    assert quantities_of(times, spike, (0, 9)).bolus_arrival_time_s is None
    assert quantities_of(times, spike, (0, 9), onset=Onset(sustained=1)).bolus_arrival_time_s == pytest.approx(
        14 + 1 / 41
    )


def test_onset_withstands_noise() -> None:
    """Rise from 30 s to 45 s with noise of a twentieth of it, a frame a second: within four frames, every time."""
    rng = np.random.default_rng(9)
    times = np.arange(0, 120.0)
    clean = np.interp(times, [0, 30, 45, 119], [10, 10, 30, 20])
    found = [quantities_of(times, clean + rng.normal(0, 1, 120), (0, 28)).bolus_arrival_time_s for _ in range(300)]
    off = np.array(found, dtype=float) - 30
    assert np.abs(off).max() < 4
    assert off.std() < 1.2 and abs(off.mean()) < 0.5


def test_a_gap_in_the_rise_is_taken_as_straight() -> None:
    """From baseline to maximum in one step of 8 s, as in a series of few frames: exact all the same."""
    times = np.array([0, 8, 16, 24, 32, 40.0])
    got = quantities_of(times, [5, 5, 5, 25, 15, 15], (0, 16), auc_s=16)
    assert got.bolus_arrival_time_s == pytest.approx(16) and got.time_to_peak_s == pytest.approx(8)
    assert got.auc == pytest.approx(20 * 8 / 2 + (20 + 10) / 2 * 8)


def test_frames_before_the_baseline_are_not_looked_at() -> None:
    times = np.arange(0, 40.0)
    signal = np.interp(times, [0, 3, 10, 15, 39], [500, 10, 10, 60, 30])
    got = quantities_of(times, signal, (3, 10))
    assert (got.baseline, got.maximum, got.bolus_arrival_time_s) == pytest.approx((10, 60, 10))


def test_manual_onset() -> None:
    times = np.arange(0, 100.0)
    signal = np.interp(times, [0, 10, 20, 99], [5, 5, 25, 25])
    got = quantities_of(times, signal, (0, 10), onset=Onset("manual", time_s=12.5), auc_s=20)
    assert got.time_to_peak_s == 7.5
    assert got.auc == pytest.approx((5 + 20) / 2 * 7.5 + 20 * 12.5)
    assert got.onset_method == "by hand (P.BA2.001, manually)"
    without = quantities_of(times, signal, (200, 300), onset=Onset("manual", time_s=12.5))
    assert (without.baseline, without.wash_in_slope, without.auc) == (None, None, None)
    late = quantities_of(times, signal, (0, 10), onset=Onset("manual", time_s=50), auc_s=20)
    assert (late.bolus_arrival_time_s, late.time_to_peak_s, late.wash_in_slope, late.auc) == (50, None, None, 400)


def test_an_arrival_set_by_hand_goes_before_any_method() -> None:
    region = Region(box_corners(0, 0, 4, 4), kind="rectangle", arrival_s=7.25)
    assert region_onset(region, Onset("threshold")) == Onset("manual", time_s=7.25)
    assert region_onset(region.changed(arrival_s=None), Onset("threshold")) == Onset("threshold")


NOT_DEFINED = {q.key for q in QUANTITIES}


@pytest.mark.parametrize(
    ("signal", "window", "defined"),
    [
        ([5, 5, 5, 5, 5, 5], (0, 2), {"baseline", "maximum", "peak_relative_enhancement", "wash_out_slope"}),
        ([9, 8, 7, 6, 5, 4], (0, 0), {"baseline", "maximum", "peak_relative_enhancement", "wash_out_slope"}),
        ([5, 5, 5, 6, 7, 8], (0, 2), {"baseline", "maximum", "peak_relative_enhancement", "bolus_arrival_time_s",
                                      "time_to_peak_s", "wash_in_slope"}),
        ([0, 0, 0, 6, 7, 3], (0, 2), {"baseline", "maximum", "bolus_arrival_time_s", "time_to_peak_s",
                                      "wash_in_slope", "wash_out_slope"}),
        ([5, 5, 5, 6, 7, 3], (50, 60), set()),
        ([5, 5, 5, 6, 7, 3], (1.2, 1.4), {"maximum", "wash_out_slope"}),
        ([5, 5, float("nan"), 6, 7, 3], (0, 1), set()),
        ([5], (0, 0), {"baseline", "maximum", "peak_relative_enhancement"}),
    ],
    ids=["flat", "falling", "still rising", "baseline 0", "window after the end", "empty window", "nan", "one frame"],
)  # fmt: skip
def test_not_defined_is_none_and_not_zero(signal: list[float], window: tuple[float, float], defined: set[str]) -> None:
    got = quantities_of(np.arange(len(signal), dtype=float), signal, window)
    assert {key for key in NOT_DEFINED if getattr(got, key) is not None} == defined


def test_area_must_fit_into_the_curve() -> None:
    times = np.arange(0, 50.0)
    signal = np.interp(times, [0, 10, 20, 49], [5, 5, 25, 25])
    assert quantities_of(times, signal, (0, 10), auc_s=39).auc is not None
    assert quantities_of(times, signal, (0, 10), auc_s=39.5).auc is None


@pytest.mark.parametrize(
    ("times", "signal", "options", "words"),
    [
        ([0, 1], [1, 2, 3], {}, "do not make a curve"),
        ([0, 1, 1], [1, 2, 3], {}, "do not ascend"),
        ([], [], {}, "do not make a curve"),
        ([0, 1], [1, 2], {"auc_s": 0.0}, "above 0"),
    ],
)
def test_bad_curves_get_a_sentence(
    times: list[float], signal: list[float], options: dict[str, float], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        quantities_of(times, signal, (0, 1), **options)


@pytest.mark.parametrize("options", [{"method": "guess"}, {"method": "manual"}, {"time_s": 3.0}, {"sustained": 0}])
def test_bad_onsets_get_a_sentence(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="bolus arrival"):
        Onset(**options)  # type: ignore[arg-type]


def test_names_are_those_of_the_lexicon() -> None:
    codes = {q.key: q.code for q in QUANTITIES}
    assert codes["time_to_peak_s"] == "Q.CD1.010" and codes["auc"] == "Q.CD1.013"
    assert codes["bolus_arrival_time_s"] == "Q.BA1.001" and codes["baseline"] == "Q.MS1.002"
    assert set(codes) <= set(Quantities.__dataclass_fields__)
    assert [f"P.BA2.00{n}" in ONSETS[key] for n, key in ((1, "manual"), (2, "threshold"), (4, "intersection"))] == [
        True, True, True,
    ]  # fmt: skip


def test_table_says_not_defined() -> None:
    assert shown(None) == "not defined"
    assert shown(0.0) == "0"
    assert shown(1234.5678) == "1235"


def test_curve_is_evaluated_by_its_mean_or_its_median() -> None:
    times, signal, truth = bolus(np.random.default_rng(1))
    nothing = np.zeros(len(times))
    curve = Curve(times, signal, nothing, 2 * signal, nothing, nothing, 4, np.zeros(len(times), bool), 2.5)
    window = (truth["first"], truth["onset"] - 1e-9)
    assert curve_quantities(curve, window).maximum == pytest.approx(truth["top"])
    median = curve_quantities(curve, window, statistic="median")
    assert median.maximum == pytest.approx(2 * truth["top"])
    assert median.frame_duration_s == 2.5 and median.baseline_window_s == window
    with pytest.raises(InputError, match="'mode'"):
        curve_quantities(curve, window, statistic="mode")


def vessel(onset: float | None, peak: float | None) -> Quantities:
    empty = dict.fromkeys(Quantities.__dataclass_fields__)
    return Quantities(**empty | {"bolus_arrival_time_s": onset, "maximum_time_s": peak})  # type: ignore[arg-type]


def test_phases_follow_the_vessels() -> None:
    got = suggest_phases(vessel(20, 28), vessel(32, 62), 1.0, 290.0, agent="gadoxetate")
    assert [(p.name, p.start_s, p.end_s) for p in got.phases] == [
        ("Precontrast", 1.0, 20), ("Early arterial", 20, 32), ("Late arterial", 32, 52),
        ("Portal venous", 52, 140), ("Transitional", 140, 290.0),
    ]  # fmt: skip
    assert [got.at(t) for t in (0.5, 1.0, 19.9, 20, 51, 52, 290.0, 291)] == [
        None, "Precontrast", "Precontrast", "Early arterial", "Late arterial", "Portal venous", "Transitional", None,
    ]  # fmt: skip
    assert "not a diagnosis" in got.note and "gadoxetate" in got.note


def test_phases_cover_the_series_once() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        first, last = rng.uniform(0, 5), rng.uniform(30, 1500)
        onset = rng.uniform(0, 60)
        portal = onset + rng.uniform(0.1, 30)
        got = suggest_phases(vessel(onset, onset + 5), vessel(portal, portal + rng.uniform(0, 60)), first, last)
        assert got.phases[0].start_s == first and got.phases[-1].end_s == last
        assert all(a.end_s == b.start_s for a, b in zip(got.phases, got.phases[1:], strict=False))
        assert all(p.start_s < p.end_s for p in got.phases)


def test_a_phase_begins_where_it_is_put() -> None:
    phases = suggest_phases(vessel(20, 28), vessel(32, 62), 1.0, 290.0).phases
    assert start_limits(phases, 2) == (20, 52)
    moved = with_start(phases, 2, 40.5)
    assert [(p.start_s, p.end_s) for p in moved] == [(1, 20), (20, 40.5), (40.5, 52), (52, 140), (140, 290)]
    assert [p.name for p in moved] == [p.name for p in phases]
    for number, start in ((2, 20.0), (2, 52.0), (0, 3.0), (5, 3.0), (1, float("nan"))):
        with pytest.raises(InputError, match=r"phases: |must lie between"):
            with_start(phases, number, start)


def test_agent_decides_what_comes_after() -> None:
    last = {
        agent: suggest_phases(vessel(20, 28), vessel(32, 62), 0, 1500, agent=agent).phases[-1].name
        for agent in ("unknown", "extracellular", "gadoxetate")
    }
    assert last == {"unknown": "After portal venous", "extracellular": "Delayed", "gadoxetate": "Hepatobiliary"}
    with pytest.raises(InputError, match="'water'"):
        suggest_phases(None, None, 0, 1, agent="water")


@pytest.mark.parametrize(
    ("aorta", "portal", "words"),
    [
        (None, vessel(3, 4), "aorta (AO)"), (vessel(3, 4), None, "portal vein (PV)"),
        (vessel(None, 4), vessel(3, 4), "aorta does not rise"), (vessel(3, 4), vessel(None, 9), "portal vein does"),
        (vessel(9, 12), vessel(3, 4), "check the roles"),
    ],
)  # fmt: skip
def test_no_phases_have_a_reason(aorta: Quantities | None, portal: Quantities | None, words: str) -> None:
    got = suggest_phases(aorta, portal, 0, 100)
    assert got.phases == () and words in got.reason and got.reason.endswith(".") and got.at(5) is None
