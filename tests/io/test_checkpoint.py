"""Weights from files: what torch.save and safetensors write comes back; what is not weights ends in one sentence."""

from __future__ import annotations

import collections
import hashlib
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_dainr.errors import InputError
from napari_dainr.io.checkpoint import check_sha256, read_checkpoint
from napari_dainr.io.checkpoint_extract import extract


def save(value: Any, path: Path, legacy: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def tensors() -> dict[str, torch.Tensor]:
    """Every type and layout that weights come in: views, transposes, scalars, nothing at all, half precisions."""
    draw = torch.Generator().manual_seed(0)
    grid = torch.randn(6, 4, generator=draw)
    return {
        "plain": torch.randn(2, 3, 3, 3, generator=draw),
        "turned": grid.T,
        "part": grid[1:5:2, 1:],
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "half": torch.randn(5, generator=draw).half(),
        "brain": torch.randn(5, generator=draw).bfloat16(),
        "double": torch.randn(5, generator=draw).double(),
        "whole": torch.arange(7),
        "flags": torch.tensor([True, False]),
    }


def same(found: dict[str, Any], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        wanted = tensor.detach().float() if tensor.is_floating_point() else tensor
        assert found[name].shape == tuple(tensor.shape), name
        assert np.array_equal(found[name], wanted.numpy()), name
        assert found[name].dtype == np.float32 or not tensor.is_floating_point()


def read(path: Path) -> dict[str, Any]:
    """The reader without its child process, for tests by the hundred."""
    arrays, facts = extract(path)
    return {name: arrays[str(i)] for i, name in enumerate(facts["names"])}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_what_torch_saved_comes_back(tmp_path: Path, legacy: bool) -> None:
    expected = tensors()
    path = tmp_path / "weights.pt"
    same(read_checkpoint(save(collections.OrderedDict(expected), path, legacy)), expected)
    same(read(save({"params": expected, "epoch": 3, "note": "a"}, path, legacy)), expected)
    same(read(save({"params": {"x": torch.ones(2)}, "params_ema": expected}, path, legacy)), expected)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5))
    same(read(save(network.state_dict(), path, legacy)), network.state_dict())
    parameters = {name: torch.nn.Parameter(value) for name, value in expected.items() if value.is_floating_point()}
    same(read(save(parameters, path, legacy)), parameters)


def test_safetensors_come_back(tmp_path: Path) -> None:
    expected = {name: value.contiguous() for name, value in sorted(tensors().items())}
    save_file(expected, tmp_path / "weights.safetensors", {"note": "a"})
    found = read_checkpoint(tmp_path / "weights.safetensors")
    same({name: found[name] for name in sorted(found)}, expected)


class Call:
    """A pickle of this calls ``function`` when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.what = (function, arguments)

    def __reduce__(self) -> Any:
        return self.what


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
@pytest.mark.parametrize("hidden", ["value", "key"])
def test_nothing_in_a_file_is_run(tmp_path: Path, legacy: bool, hidden: str) -> None:
    harm = tmp_path / "harm"
    call = Call(os.mkdir, str(harm))
    content = {"a": torch.ones(2), "b": call} if hidden == "value" else {"a": torch.ones(2), "c": {"d": [call]}}
    path = save(content, tmp_path / "bad.pt", legacy)
    with pytest.raises(InputError, match=r"bad\.pt: asks for posix\.mkdir|bad\.pt: asks for nt\.mkdir"):
        read_checkpoint(path)
    assert not harm.exists()
    torch.load(path, weights_only=False)  # the file is as bad as it should be
    assert harm.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_plain_pickles_are_refused(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(pickle.dumps({"a": [1.5, "text"], "b": Call(os.mkdir, str(tmp_path / "harm"))}, protocol))
    with pytest.raises(InputError, match=r"^other\.pth: .*\.$"):
        read_checkpoint(path)
    assert not (tmp_path / "harm").exists()


def archive(path: Path, table: bytes, method: int = zipfile.ZIP_STORED, data: bytes = bytes(16)) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", table)
        file.writestr("archive/data/0", data)
    return path


def table_of(shape: str, strides: str, size: int = 4, offset: int = 0) -> bytes:
    """{'w': a tensor}, written instruction by instruction: storage ``0`` of ``size`` floats, any shape and strides."""

    def numbers(text: str) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", int(n)) for n in text.split()) + b"t"

    def word(text: str) -> bytes:
        return b"X" + struct.pack("<I", len(text)) + text.encode()

    storage = (
        b"(" + word("storage") + b"ctorch\nFloatStorage\n" + word("0") + word("cpu") + b"M" + struct.pack("<H", size)
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + b"K" + bytes([offset])
    tensor += numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}" + word("w") + tensor + b"s."


def test_the_tables_made_here_are_pickles_of_tensors(tmp_path: Path) -> None:
    data = np.arange(4, dtype="<f4").tobytes()
    found = read(archive(tmp_path / "a.pt", table_of("2 2", "1 2"), data=data))
    assert np.array_equal(found["w"], [[0, 2], [1, 3]])


@pytest.mark.parametrize(
    "table",
    [
        table_of("5", "1"),
        table_of("2 2", "2 2"),
        table_of("2", "-1"),
        table_of("-1", "1"),
        table_of("4", "1", offset=1),
        table_of("4", "1", size=60000),
        table_of("30000 30000", "0 0"),
        table_of("2 2", "1"),
    ],
    ids=["long", "wide", "backwards", "negative", "shifted", "absent", "bomb", "ragged"],
)
def test_tensors_that_reach_beyond_their_storage_are_refused(tmp_path: Path, table: bytes) -> None:
    with pytest.raises((InputError, ValueError)):
        read(archive(tmp_path / "a.pt", table))
    with pytest.raises(InputError, match=r"^a\.pt: .*\.$"):
        read_checkpoint(tmp_path / "a.pt")


def test_what_is_no_weights_is_said_in_one_sentence(tmp_path: Path) -> None:
    text = tmp_path / "text.pt"
    text.write_text("not weights at all, only words")
    empty = tmp_path / "empty.pt"
    empty.touch()
    short = tmp_path / "short.pt"
    whole = save({"a": torch.ones(50, 50)}, tmp_path / "whole.pt", True).read_bytes()
    short.write_bytes(whole[:-500])
    packed = archive(tmp_path / "packed.pt", table_of("4", "1"), zipfile.ZIP_DEFLATED)
    number = save(torch.ones(3), tmp_path / "number.pt", False)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("readme.txt", "words")
    lying = tmp_path / "lying.safetensors"
    header = b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}'
    lying.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    for path in (text, empty, short, packed, number, other, lying, tmp_path, tmp_path / "absent.pt"):
        with pytest.raises(InputError) as caught:
            read_checkpoint(path)
        sentence = str(caught.value)
        assert path.name in sentence and sentence.endswith(".") and "\n" not in sentence and "k-space" not in sentence


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_damaged_files_give_whole_arrays_or_an_error(tmp_path: Path, legacy: bool) -> None:
    whole = save({"a": torch.ones(5, 4), "b": torch.arange(6)}, tmp_path / "whole.pt", legacy).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "mutant.pt"
    read_well = 0
    for _ in range(200):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), int(rng.integers(1, 4))):
            data[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(data[: len(data) if rng.random() < 0.8 else int(rng.integers(len(data)))])
        try:
            found = read(path)
        except MemoryError:
            pytest.fail("a damaged file asked for memory")
        except Exception:  # any other: the child that runs this turns it into a sentence
            continue
        read_well += 1
        assert sum(array.nbytes for array in found.values()) <= 2 * len(whole)
    assert read_well > 0  # flips in the numbers themselves pass: that is what the hash is for


def test_hash_is_compared_with_setting_and_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"some bytes")
    digest = hashlib.sha256(b"some bytes").hexdigest()
    assert check_sha256(path) == check_sha256(path, digest) == check_sha256(path, digest[:8].upper()) == digest
    with pytest.raises(InputError, match=r"weights\.pt: its SHA-256 begins with .*, but 0000"):
        check_sha256(path, "0" * 64)
    good, bad = tmp_path / f"net-{digest[:8]}.pt", tmp_path / "net-12345678.pth"
    good.write_bytes(b"some bytes")
    bad.write_bytes(b"some bytes")
    assert check_sha256(good) == digest
    with pytest.raises(InputError, match=r"net-12345678\.pth: .* digits in its name"):
        check_sha256(bad)
