"""The quality panel: its numbers against what was put in, and its figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_dainr import RESEARCH_USE
from napari_dainr.cli import main
from napari_dainr.data import KSpace
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.phantom import cine_phantom, simulate_kspace
from napari_dainr.preparation.quality import quality


@pytest.fixture(scope="module")
def scan() -> KSpace:
    """55 golden-angle spokes, 8 coils, noise of deviation 0.05."""
    kspace = simulate_kspace(cine_phantom((48, 40), 5), spokes_per_frame=11, n_coils=8, snr=np.inf)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(kspace.kdata.shape) + 1j * rng.standard_normal(kspace.kdata.shape)
    return replace(kspace, kdata=(kspace.kdata + 0.05 / np.sqrt(2) * noise).astype(np.complex64))


def test_numbers_of_a_sound_scan(scan: KSpace) -> None:
    found = quality(scan)
    # Fibonacci numbers of golden-angle spokes leave gaps of two sizes, the larger 180° / τ^k.
    golden = (1 + np.sqrt(5)) / 2
    assert found.largest_gap_deg == pytest.approx(180 / golden**8, rel=1e-3)
    assert found.nyquist_fraction == pytest.approx(55 / (np.pi / 2 * 48))
    # Samples at the ends hold a little signal as well, so that the noise is met from above.
    assert (found.coil_noise > 0.045).all() and found.coil_noise.min() < 0.12
    assert found.coil_energy.sum() == pytest.approx(1)
    assert found.unusual_spokes == () and found.streaky_coils == ()
    assert found.delays is not None and found.delays.largest < 0.05
    assert found.centre is not None and found.centre.sample == pytest.approx(48, abs=0.11)


def test_what_is_wrong_is_seen(scan: KSpace) -> None:
    kdata = scan.kdata.copy()
    kdata[:, :, 20] *= 2.2  # not enough to be left out
    # A bright point at the rim, seen by one coil: a few spokes make streaks of it through the whole image.
    waves = np.exp(-2j * np.pi * (scan.ktraj * (0.47, -0.47)).sum(axis=-1))
    kdata[:, 3] += (0.5 * waves).astype(np.complex64)
    found = quality(replace(scan, kdata=kdata))
    assert 20 in found.unusual_spokes
    assert found.streaky_coils == (3,), found.streak_ratio


def test_the_panel_is_written(scan: KSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    write_ismrmrd(scan, tmp_path / "scan.h5")
    assert main(["qc", str(tmp_path / "scan.h5"), "-o", str(tmp_path / "qc.png"), "--coil-maps", "espirit"]) == 0
    assert "streak-prone coils" in capsys.readouterr().out
    with Image.open(tmp_path / "qc.png") as picture:
        assert picture.size[0] > 1000 and picture.info["Description"] == RESEARCH_USE
        assert np.asarray(picture.convert("L")).std() > 10
    assert main(["qc", str(tmp_path / "scan.h5"), "-o", str(tmp_path / "qc.jpg")]) == 2
    assert main(["info", str(tmp_path / "scan.h5")]) == 0
    assert "measured largest gap" in capsys.readouterr().out
