"""The rule of the angles and the centre, told from the data: right for every rule, with coils, noise and motion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.importing import ImportOptions, kspace_of
from napari_dainr.preparation.angles import AngleRule, candidate_rules, estimate_centre, rank_rules
from napari_dainr.trajectory import radial_ktraj

Objects = dict[str, NDArray[np.complex64]]
Measure = Callable[..., NDArray[np.complex64]]
MATRIX, READOUT = (48, 40), 96
CASES = (("cine", 55, 5, 1, 0), ("liver", 130, 3, -1, 1), ("cine", 144, 8, 1, 2))
"""Object, spokes, coils, sense of rotation, seed."""


def _rules() -> list[object]:
    """All rules; most of the tiny golden angles only with the slow tests."""
    slow = [rule.scheme == "tiny-golden" and rule.tiny_number not in (2, 7) for rule in candidate_rules()]
    return [
        pytest.param(rule, id=str(rule), marks=[pytest.mark.slow] if late else [])
        for rule, late in zip(candidate_rules(), slow, strict=True)
    ]


@pytest.mark.parametrize("rule", _rules())
def test_the_right_rule_wins(measure: Measure, objects: Objects, rule: AngleRule) -> None:
    index = candidate_rules().index(rule)
    cases = CASES if rule.scheme == "uniform" else (CASES[index % 3],)
    for name, spokes, coils, sense, seed in cases:
        ktraj = radial_ktraj(spokes, READOUT, MATRIX, angle_deg=sense * rule.step(spokes), first=33.0 * seed)
        kdata = measure(objects[name], ktraj, coils=coils, snr=20.0, seed=seed)
        ranked = rank_rules(kdata, np.arange(spokes), spokes, READOUT / 2, 2.0)
        assert ranked[0].rule == rule, f"{ranked[:3]}"
        # Steady turning through 360° looks like half of it to a moving object; all else stands out.
        if rule != AngleRule("uniform", full_circle=True):
            assert ranked[0].unexplained < min(0.25, 0.6 * ranked[1].unexplained), f"{ranked[:3]}"


@pytest.mark.parametrize("centre", [48.0, 47.5, 45.0, 50.3])
def test_the_centre_is_found_without_knowing_the_angles(measure: Measure, objects: Objects, centre: float) -> None:
    ktraj = radial_ktraj(89, READOUT, MATRIX, centre=centre)
    found = estimate_centre(measure(objects["cine"], ktraj, snr=20.0))
    assert found.clear and found.sample == pytest.approx(centre, abs=0.1)


def _acquired(kdata: NDArray[np.complex64], **values: object) -> Acquired:
    return Acquired(
        format="test",
        name="x",
        kdata=kdata[None],
        matrix=MATRIX,
        fov_mm=(300.0, 250.0),
        encoded_fov_mm=(600.0, 500.0),
        tr_s=0.004,
        **values,  # type: ignore[arg-type]
    )


def test_an_import_takes_what_it_finds_and_says_what_it_cannot_know(measure: Measure, objects: Objects) -> None:
    truth = radial_ktraj(89, READOUT, MATRIX, angle_deg=23.62814, centre=47.5)  # tiny golden angle, N = 7
    kdata = measure(objects["cine"], truth, snr=20.0)
    kdata[:, 5] = np.nan  # angles go on being counted over a spoke that is left out
    found = kspace_of(_acquired(kdata))
    np.testing.assert_allclose(found.ktraj, np.delete(truth, 5, axis=0), atol=5e-3)
    assert "tiny-golden angle N = 7 leaves" in found.detected["trajectory"]
    assert "turned or mirrored" in found.assumed["trajectory"]
    assert found.detected["centre sample"].startswith("47.5: consecutive spokes agree best at")
    # What the user says of start and sense is kept.
    turned = kspace_of(_acquired(kdata), ImportOptions(reversed=True, first_angle_deg=30.0))
    expected = radial_ktraj(89, READOUT, MATRIX, angle_deg=-23.62814, first=30.0, centre=47.5)
    np.testing.assert_allclose(turned.ktraj, np.delete(expected, 5, axis=0), atol=5e-3)


def test_a_header_that_contradicts_the_data_is_said(measure: Measure, objects: Objects) -> None:
    kdata = measure(objects["cine"], radial_ktraj(89, READOUT, MATRIX), snr=20.0)
    assert "though consecutive spokes" in kspace_of(_acquired(kdata, centre_sample=47)).assumed["centre sample"]
    assert "by the header" in kspace_of(_acquired(kdata, centre_sample=48)).detected["centre sample"]


def test_noise_fits_no_rule() -> None:
    rng = np.random.default_rng(0)
    kdata = (rng.standard_normal((4, 89, 96)) + 1j * rng.standard_normal((4, 89, 96))).astype(np.complex64)
    found = kspace_of(_acquired(kdata))
    assert "golden angle 111.246" in found.assumed["trajectory"] and "unexplained" in found.assumed["trajectory"]
    assert "neither header nor data" in found.assumed["centre sample"]


def test_a_real_scan(shared_data: Path) -> None:
    from napari_dainr.io import read_kspace

    found = read_kspace(shared_data / "twix" / "meas_MID00118_FID33075_sol24.dat")
    assert "the uniform angle leaves 0.2 % of the central k-space" in found.detected["trajectory"]
