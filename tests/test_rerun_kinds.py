"""``rerun`` of what else a run can be told: eleven kinds, beside the nine methods of ``test_nothing_lost.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_dainr.cli import main

NUFFT = ["--method", "nufft"]
GRASP = ["--method", "grasp", "--set", "n_steps=6", "--set", "tolerance=0"]
NIK = ["--method", "nik", *(f"--set={one}" for one in ("n_steps=6", "width=16", "depth=2", "batch=64"))]
KINDS = {
    "finer pixels": [*NUFFT, "--scale", "2"],
    "frames between": [*NIK, "--upsample", "2"],
    "one virtual coil": [*GRASP, "--coils", "1"],
    "maps by ESPIRiT": [*GRASP, "--coil-maps", "espirit"],
    "nothing held out": [*GRASP, "--held-out", "0"],
    "a third held out, another seed": [*GRASP, "--held-out", "0.3", "--seed", "9"],
    "two threads": [*GRASP, "--threads", "2"],
    "another matrix": [*GRASP, "--matrix", "19,22"],
    "without a coil and a spoke": [*GRASP, "--leave-out-coils", "1", "--leave-out-spokes", "3"],
    "delays by RING": [*NUFFT, "--delays", "ring"],
    "angles by a rule, with snapshots": [*NIK, "--angles", "golden", "--snapshots", "2"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    data, folder = tmp_path / "cine.h5", tmp_path / "run"
    scene = ["--matrix", "24", "--frames", "4", "--coils", "3", "--spokes-per-frame", "5"]
    assert main(["simulate", str(data), *scene]) == 0
    recon = ["recon", str(data), "--spokes-per-frame", "5", "--device", "cpu", "--quiet"]
    assert main([*recon, *KINDS[kind], "-o", str(folder)]) == 0
    capsys.readouterr()
    assert main(["rerun", str(folder), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("identical: SHA-256 ")
