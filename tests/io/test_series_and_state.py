"""Run-folder series and fitted state: exact round trips, and damage that is never loaded silently."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io import state
from napari_dainr.io.series import load_series, save_series
from napari_dainr.io.state import load_state, save_state, state_exists


def _series() -> ImageSeries:
    rng = np.random.default_rng(0)
    image = (rng.standard_normal((4, 9, 7)) + 1j * rng.standard_normal((4, 9, 7))).astype(np.complex64)
    times = np.array([0.1, 0.2, 0.35, 1 / 3 + 0.1])
    return ImageSeries(image, times, (1.25, 2.5), 0.1, np.array([False, True, False, True]), "dainr", {"r": 1.5})


def test_series_round_trip(tmp_path: Path) -> None:
    series = _series()
    save_series(series, tmp_path / "run" / "a")
    again = load_series(tmp_path / "run" / "a")
    assert sorted(os.listdir(tmp_path / "run" / "a")) == ["series.json", "series.npy"]
    np.testing.assert_array_equal(again.image, series.image)
    np.testing.assert_array_equal(again.times_s, series.times_s)
    np.testing.assert_array_equal(again.interpolated, series.interpolated)
    assert (again.pixel_mm, again.frame_duration_s, again.method, again.info) == ((1.25, 2.5), 0.1, "dainr", {"r": 1.5})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "series.json").unlink(), r"holds no series\.json"),
        (lambda d: (d / "series.npy").unlink(), r"holds no series\.npy"),
        (lambda d: (d / "series.json").write_text("{"), "not a series"),
        (lambda d: (d / "series.json").write_text("[]"), "not a series"),
        (lambda d: (d / "series.json").write_text('{"schema_version": 9}'), "update the program"),
        (lambda d: (d / "series.npy").write_bytes((d / "series.npy").read_bytes()[:-5]), "not a series|damaged"),
        (lambda d: np.save(d / "series.npy", np.zeros((4, 9, 7), np.complex64)), "damaged or half-written"),
    ],
)
def test_damaged_series(tmp_path: Path, damage: object, message: str) -> None:
    save_series(_series(), tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        load_series(tmp_path)


def test_series_facts_must_be_json(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="JSON"):
        save_series(replace(_series(), info={"bad": object()}), tmp_path)
    assert os.listdir(tmp_path) == []


def _tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "weights": rng.standard_normal((3, 5)).astype(np.float32),
        "step": np.int64(seed),
        "csm": (rng.standard_normal((2, 4)) + 1j).astype(np.complex64),
        "double": np.array(1 + 2j),
        "flags": np.array([True, False]),
        "rng": rng.integers(0, 255, 64).astype(np.uint8),
        "strided": rng.standard_normal((4, 6))[:, ::2],
        "empty": np.zeros((0, 3), np.float32),
    }


def test_state_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    assert not state_exists(path)
    save_state(_tensors(), {"loss": [1.5, None]}, path)
    assert state_exists(path)
    tensors, meta = load_state(path)
    assert meta == {"loss": [1.5, None], "generation": "newest"}
    assert set(tensors) == set(_tensors())
    for name, array in _tensors().items():
        assert tensors[name].dtype == np.asarray(array).dtype, name
        assert tensors[name].shape == np.asarray(array).shape, name
        np.testing.assert_array_equal(tensors[name], array)


def test_torch_tensors_come_back_as_torch_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    image = torch.randn(3, 4, dtype=torch.complex64)
    tensors = {"a": image, "conjugate": image.conj(), "view": image.real.T, "grad": torch.ones(2, requires_grad=True)}
    save_state(tensors, {}, tmp_path / "s")
    again, _ = load_state(tmp_path / "s", as_torch=True)
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor.detach().resolve_conj()), name


def test_every_flipped_bit_falls_back_to_the_generation_before(tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(_tensors(1), {"n": 1}, path)
    save_state(_tensors(2), {"n": 2}, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 60):
        broken = bytearray(whole)
        broken[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        tensors, meta = load_state(path)
        assert meta == {"n": 1, "generation": "previous"}
        np.testing.assert_array_equal(tensors["weights"], _tensors(1)["weights"])
    # saving over a damaged newest one must not push out the good one before
    save_state(_tensors(3), {"n": 3}, path)
    path.write_bytes(b"")
    assert load_state(path)[1]["n"] == 1


@pytest.mark.parametrize("broken", [b"", b"\xff" * 100, None])
def test_no_whole_generation(tmp_path: Path, broken: bytes | None) -> None:
    path = tmp_path / "s"
    save_state(_tensors(), {}, path)
    if broken is None:
        (tmp_path / "s.sha256").unlink()
    else:
        path.write_bytes(broken)
    with pytest.raises(InputError, match="damaged"):
        load_state(path)
    with pytest.raises(InputError, match="no saved state"):
        load_state(tmp_path / "other")


def test_a_crash_at_any_moment_of_saving_leaves_a_whole_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    replaces = 0
    for crash_at in range(1, 5):
        path = tmp_path / str(crash_at) / "s"
        path.parent.mkdir()
        save_state(_tensors(1), {"n": 1}, path)
        save_state(_tensors(2), {"n": 2}, path)
        calls, real = 0, os.replace

        def replace_or_crash(source: Path, target: Path, at: int = crash_at, real: object = real) -> None:
            nonlocal calls, replaces
            calls += 1
            if calls == at:
                replaces += 1
                raise Crash
            real(source, target)  # type: ignore[operator]

        monkeypatch.setattr("napari_dainr.io.atomic.os.replace", replace_or_crash)
        with pytest.raises(Crash):
            save_state(_tensors(3), {"n": 3}, path)
        monkeypatch.undo()
        tensors, meta = load_state(path)
        assert meta["n"] == 2
        np.testing.assert_array_equal(tensors["weights"], _tensors(2)["weights"])
        save_state(_tensors(4), {"n": 4}, path)
        assert load_state(path)[1] == {"n": 4, "generation": "newest"}
    assert replaces == 4


def test_foreign_and_newer_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    monkeypatch.setattr(state, "SCHEMA", "99")
    save_state({"a": np.ones(2)}, {}, path)
    monkeypatch.undo()
    with pytest.raises(InputError, match="schema is 99"):
        load_state(path)
    with pytest.raises(ExportError, match="cannot be saved"):
        save_state({"a": np.array(["text"])}, {}, path)
    with pytest.raises(ExportError, match="JSON"):
        save_state({"a": np.ones(2)}, {"bad": object()}, path)


def test_series_json_is_plain_and_says_research_use(tmp_path: Path) -> None:
    save_series(_series(), tmp_path)
    facts = json.loads((tmp_path / "series.json").read_text())
    assert facts["note"] == "Research use only. Not for diagnostic use."
    assert facts["shape"] == [4, 9, 7]
