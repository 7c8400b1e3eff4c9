"""What the dock writes leaves alone what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_dainr.errors import ExportError
from napari_dainr.gui._saving import _copy_file, copy_run
from napari_dainr.io.lock import LOCK


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "series.npy").write_bytes(b"series")
    (folder / "snapshots" / "series.npy").write_bytes(b"earlier")
    (folder / LOCK).touch()
    return folder


def test_a_run_is_copied_whole_and_nothing_beside_it_is_touched(run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "kept.part" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    copy_run(run, tmp_path / "kept")
    assert (tmp_path / "kept" / "series.npy").read_bytes() == b"series"
    assert (tmp_path / "kept" / "snapshots" / "series.npy").read_bytes() == b"earlier"
    assert not (tmp_path / "kept" / LOCK).exists()
    assert mine.read_text() == "mine"
    with pytest.raises(ExportError, match="kept: something else has that name"):
        copy_run(run, tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "kept.part", "run"]


def test_a_copy_that_differs_is_not_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_dainr.gui._saving.shutil.copyfile", lambda source, target: target.write_bytes(b"other"))
    with pytest.raises(ExportError, match="kept"):
        copy_run(run, tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_other_data_of_the_samples_name_stay(tmp_path: Path) -> None:
    source, there = tmp_path / "sample.h5", tmp_path / "there" / "sample.h5"
    source.write_bytes(b"sample")
    there.parent.mkdir()
    _copy_file(source, there)
    _copy_file(source, there)
    assert there.read_bytes() == b"sample"
    there.write_bytes(b"other")
    with pytest.raises(ExportError, match="other data of that name"):
        _copy_file(source, there)
    assert there.read_bytes() == b"other"
