"""Whether samples were multiplied with sqrt(w): found out where they can tell, else assumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.special import j1

from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace
from napari_dainr.io.weighting import unweighted

PIXELS, SPOKES = 32, 21


def _scan(diameter: float, oversampling: int, half: bool, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """(readout, spoke, coil) of a disc beside the middle, by its known transform, in 4 coils; and k in cycles/pixel."""
    readout = PIXELS * oversampling
    radius = (np.arange(readout) - readout // 2 + 0.5 * half) / readout
    k = radius[:, None] * np.exp(1j * np.deg2rad(111.246117975) * np.arange(SPOKES))
    data = []
    for turn in range(4):
        # A coil sees the disc through a slope of phase and a smaller disc near itself.
        total = 0
        for size, strength, away in ((diameter, 0.4, 0.05), (diameter / 2, 1.0, 0.2)):
            x = np.pi * np.abs(k) * size * PIXELS
            disc = np.where(x > 0, 2 * j1(np.where(x > 0, x, 1)) / np.where(x > 0, x, 1), 1) * size**2
            place = away * PIXELS * np.exp(0.5j * np.pi * turn)
            total = total + strength * disc * np.exp(-2j * np.pi * (k.conj() * place).real)
        data.append(total)
    kdata = np.stack(data, axis=-1)
    rng = np.random.default_rng(2)
    noisy = rng.standard_normal(kdata.shape) + 1j * rng.standard_normal(kdata.shape)
    return (kdata + noise * np.abs(kdata).max() * noisy).astype(np.complex64), k


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    diameter=st.floats(0.3, 1.0),
    oversampling=st.sampled_from([1, 2]),
    half=st.booleans(),
    noise=st.sampled_from([0.0, 0.01, 0.05]),
    least=st.floats(0.001, 0.9),
    weighted=st.booleans(),
)
def test_what_is_detected_is_so(
    diameter: float, oversampling: int, half: bool, noise: float, least: float, weighted: bool
) -> None:
    kdata, k = _scan(diameter, oversampling, half, noise)
    step = 1 / (PIXELS * oversampling)
    w = np.abs(k) + step * least
    given_data = kdata * np.sqrt(w)[..., None].astype(np.float32) if weighted else kdata
    detected: dict[str, str] = {}
    assumed: dict[str, str] = {}
    found = unweighted(given_data, k, w, PIXELS, None, detected, assumed)
    assert len(detected) + len(assumed) == 1
    if detected:
        assert ("undone" in detected["density compensation"]) == weighted
        np.testing.assert_allclose(found, kdata, rtol=2e-5, atol=1e-6 * np.abs(kdata).max())
    else:
        assert assumed["density compensation"].endswith("say which with weighted")
    # The roots of two neighbouring weights differ at least two and a half times: then it is always found out.
    ratio = (least + 0.5 * half) / (least + 0.5 * half + 1)
    assert detected or ratio > 0.16 or oversampling == 1


def test_what_cannot_be_told_is_assumed_and_can_be_said(tmp_path: Path) -> None:
    """Samples that fall to a third beside the centre fit no object of the field of view, weighted or not."""
    kdata, k = _scan(0.8, 2, False, 0.0)
    w = np.abs(k) + 0.0005
    peaked = kdata * np.where(np.abs(k) < 1e-9, 30, 1)[..., None].astype(np.float32)
    savemat(tmp_path / "x.mat", {"kdata": peaked, "k": k, "w": w})
    kspace = read_kspace(tmp_path / "x.mat", ImportOptions(keep_all=True))
    assert "cannot tell for sure, say which with weighted" in kspace.assumed["density compensation"]
    assert "density compensation" not in kspace.detected
    for said in (True, False):
        kspace = read_kspace(tmp_path / "x.mat", ImportOptions(keep_all=True, weighted=said))
        want = peaked / np.sqrt(w)[..., None] if said else peaked
        np.testing.assert_allclose(kspace.kdata[0], want.transpose(2, 1, 0), rtol=1e-5)
        assert "as told" in kspace.detected["density compensation"]
        assert "density compensation" not in kspace.assumed


def test_weights_of_zero() -> None:
    kdata, k = _scan(0.8, 2, False, 0.0)
    w = np.abs(k)
    with pytest.raises(InputError, match="give the samples as they were before"):
        unweighted(kdata * np.sqrt(w)[..., None].astype(np.float32), k, w, PIXELS, None, {}, {})
    detected: dict[str, str] = {}
    assert unweighted(kdata, k, w, PIXELS, None, detected, {}) is kdata
    assert "which is zero at the centre" in detected["density compensation"]
