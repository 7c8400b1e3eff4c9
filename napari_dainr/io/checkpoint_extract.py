"""Tensors out of PyTorch checkpoints and safetensors files, run in the child process of :mod:`napari_dainr.io.child`.

A ``.pt`` or ``.pth`` file holds a pickle, and unpickling is running a program that the file brings. Nothing is
unpickled here: the opcodes are read with :func:`pickletools.genops`, which runs nothing, and those few that a
dictionary of tensors needs are interpreted. The names a file may call are the keys of two tables below; every other is
refused. Both layouts are read: the zip archive of PyTorch 1.6 and later, and the pickles and raw storages before it.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.child import Extracted

__all__ = ["extract"]

STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
}
"""Class of a storage in the ``torch`` module → its numpy type; the bits of bfloat16 are the upper half of a float32."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_PICKLE = 64 << 20
_WRAPPERS = ("params_ema", "params", "state_dict", "model")
"""Where trainers put the weights in a larger dictionary: SwinIR's authors use ``params`` and ``params_ema``."""


class _Refused(ValueError):
    """The pickle asks for more than tensors; the argument is what it asks for."""


@dataclass
class _Global:
    name: str


@dataclass
class _Storage:
    key: str
    dtype: str
    start: int
    size: int


@dataclass
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _ordered_dict(*pairs: Any) -> dict[Any, Any]:
    return dict(*pairs)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without a storage")
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor without a shape")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: Any, *_: Any) -> _Tensor:
    if not isinstance(tensor, _Tensor):
        raise ValueError("a parameter without a tensor")
    return tensor


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
"""All that a file can call, and what is called instead."""


def _persistent(value: Any) -> _Storage:
    if not (isinstance(value, tuple) and len(value) in (5, 6) and value[0] == "storage"):
        raise ValueError("an unknown kind of reference")
    kind, key, size = value[1], value[2], value[4]
    if not (isinstance(kind, _Global) and isinstance(key, str) and type(size) is int and size >= 0):
        raise ValueError("a storage without a type or size")
    start = 0
    if len(value) == 6 and value[5] is not None:  # early files: part of a larger storage
        _, start, size = value[5]
        if not (type(start) is int and type(size) is int and start >= 0 and size >= 0):
            raise ValueError("a part of a storage without its place")
    return _Storage(key, STORAGES[kind.name.removeprefix("torch.")], start, size)


@dataclass
class _Machine:
    """The interpreter of one pickle: a stack, the stacks below open marks, and the memo."""

    stack: list[Any] = field(default_factory=list)
    marked: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    """Type of every storage that was named."""

    def run(self, source: io.BytesIO | bytes) -> Any:
        """What the pickle at this place of the file describes; the file is left just behind it."""
        for opcode, argument, _ in pickletools.genops(source):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _LITERALS:
                self.stack.append(_LITERALS[name] if argument is None else argument)
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise _Refused(f"pickle instruction {name}")
        raise ValueError("a pickle without an end")

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError("a pickle that does not fit together")
        return self.stack[-1]

    def named(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in _CALLS and not (module == "torch" and name in STORAGES):
            raise _Refused(full)
        self.stack.append(_Global(full))

    def called(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not (isinstance(arguments, tuple) and isinstance(function, _Global) and function.name in _CALLS):
            raise ValueError("a call of what cannot be called")
        self.stack.append(_CALLS[function.name](*arguments))

    def pairs(self, items: list[Any]) -> None:
        target = self.top(dict)
        target.update(zip(items[::2], items[1::2], strict=True))

    def items(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def last(self, n: int) -> tuple[Any, ...]:
        if len(self.stack) < n:
            raise ValueError("a pickle that does not fit together")
        items = tuple(self.stack[len(self.stack) - n :])
        del self.stack[len(self.stack) - n :]
        return items

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def marked_tuple(self) -> None:
        items = self.to_mark()
        self.stack.append(tuple(items))

    def persistent(self) -> None:
        storage = _persistent(self.stack.pop())
        self.types[storage.key] = storage.dtype
        self.stack.append(storage)

    def stack_global(self) -> None:
        module, name = self.last(2)
        self.named(str(module), str(name))


_LITERALS: dict[str, Any] = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "BININT": 0, "BININT1": 0, "BININT2": 0, "LONG1": 0,
    "BINFLOAT": 0, "BINUNICODE": "", "SHORT_BINUNICODE": "", "BINSTRING": "", "SHORT_BINSTRING": "",
}  # fmt: skip
"""Instructions that push their argument; for those without one, what they push."""

_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.stack.pop(),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE": lambda m, _: m.marked_tuple(),
    "TUPLE1": lambda m, _: m.stack.append(m.last(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.last(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.last(3)),
    "APPEND": lambda m, _: m.items(list(m.last(1))),
    "APPENDS": lambda m, _: m.items(m.to_mark()),
    "SETITEM": lambda m, _: m.pairs(list(m.last(2))),
    "SETITEMS": lambda m, _: m.pairs(m.to_mark()),
    "BINPUT": lambda m, argument: m.memo.__setitem__(argument, m.stack[-1]),
    "LONG_BINPUT": lambda m, argument: m.memo.__setitem__(argument, m.stack[-1]),
    "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "BINGET": lambda m, argument: m.stack.append(m.memo[argument]),
    "LONG_BINGET": lambda m, argument: m.stack.append(m.memo[argument]),
    "GLOBAL": lambda m, argument: m.named(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.called(),
    "BUILD": lambda m, _: m.last(1),  # attributes of a dictionary, such as the versions of its modules: not needed
    "BINPERSID": lambda m, _: m.persistent(),
}


def extract(path: Path) -> Extracted:
    """Arrays of a checkpoint under ``"0"``, ``"1"``, …; the fact ``names`` lists their names in that order.

    Half and bfloat16 become float32, double too; whole numbers stay as they are.

    Raises
    ------
    InputError
        For anything but a plain dictionary of tensors.
    """
    data = path.read_bytes()  # whole: what is read from bytes cannot ask for more than there are
    try:
        if data[8:9] == b"{":  # first: the length in front of it may begin like either of the others
            found = _from_safetensors(data)
        elif data.startswith(b"PK\x03\x04"):
            found = _from_zip(data)
        elif data.startswith(b"\x80"):
            found = _from_stream(data)
        else:
            raise InputError(_NO_WEIGHTS)
    except _Refused as refused:
        raise InputError(
            f"asks for {_printable(str(refused))}, which no file of weights needs and which is not run; "
            "get the published file from its source."
        ) from None
    if not found:
        raise InputError(_NO_WEIGHTS)
    arrays = {str(i): array for i, array in enumerate(found.values())}
    return arrays, {"names": [_printable(name, 200) for name in found]}


_NO_WEIGHTS = "holds no named tensors; give a .pt, .pth or .safetensors file of weights."


def _printable(text: str, length: int = 60) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:length])


def _weights_of(found: Any) -> dict[str, Any]:
    """The dictionary of tensors in what a pickle described; other entries, as a count of epochs, are left out."""
    for wrapper in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict):
        raise InputError(_NO_WEIGHTS)
    return {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, _Tensor)}


def _from_zip(data: bytes) -> dict[str, NDArray[Any]]:
    """torch.save since 1.6: ``<folder>/data.pkl`` and one uncompressed entry ``<folder>/data/<key>`` per storage."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        tables = [name for name in entries if name.endswith("/data.pkl")]
        if len(tables) != 1:
            raise InputError(_NO_WEIGHTS)
        folder = tables[0].removesuffix("data.pkl")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise InputError("is a compressed archive, which torch.save does not write; give the published file.")
        if f"{folder}byteorder" in entries and archive.read(f"{folder}byteorder") != b"little":
            raise InputError("was written on a big-endian machine; save it again on a common one.")
        if entries[tables[0]].file_size > _MAX_PICKLE:
            raise InputError(_NO_WEIGHTS)
        weights = _weights_of(_Machine().run(archive.read(tables[0])))
        budget = _Budget(len(data))
        storages: dict[str, bytes] = {}
        result: dict[str, NDArray[Any]] = {}
        for name, tensor in weights.items():
            key = tensor.storage.key
            if key not in storages:
                storages[key] = archive.read(f"{folder}data/{key}")
            result[name] = _array(tensor, storages[key], budget)
        return result


def _from_stream(data: bytes) -> dict[str, NDArray[Any]]:
    """torch.save before 1.6: magic number, version, facts, dictionary, list of storages; then size and data of each."""
    file = io.BytesIO(data)
    if _Machine().run(file) != _LEGACY_MAGIC or _Machine().run(file) != _LEGACY_PROTOCOL:
        raise InputError("is a pickle of something else than PyTorch weights; give the published file.")
    facts = _Machine().run(file)
    if isinstance(facts, dict) and facts.get("little_endian") is False:
        raise InputError("was written on a big-endian machine; save it again on a common one.")
    table = _Machine()
    weights = _weights_of(table.run(file))
    storages: dict[str, bytes] = {}
    for key in _Machine().run(file):
        (count,) = struct.unpack("<q", file.read(8))
        length = count * np.dtype(table.types[key]).itemsize
        storages[key] = file.read(max(length, 0))
        if len(storages[key]) != length:
            raise InputError("ends too early; copy the file again.")
    budget = _Budget(len(data))
    return {name: _array(tensor, storages[tensor.storage.key], budget) for name, tensor in weights.items()}


def _from_safetensors(data: bytes) -> dict[str, NDArray[Any]]:
    """A header of JSON, then the numbers; the format cannot hold code."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    types = {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
        "U8": "<u1", "BOOL": "<u1",
    }  # fmt: skip
    budget = _Budget(len(data))
    result: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        dtype = np.dtype(types[entry["dtype"]])
        size = math.prod(shape)
        if not (0 <= begin <= end <= len(data) - 8 - length) or (end - begin) != size * dtype.itemsize:
            raise InputError("has a header that does not fit its data; copy the file again.")
        strides = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        kind = "<u2" if entry["dtype"] == "BF16" else dtype.str
        tensor = _Tensor(_Storage("", kind, 0, size), 0, shape, strides)
        result[name] = _array(tensor, data[8 + length + begin : 8 + length + end], budget)
    return result


class _Budget:
    """Bytes that all arrays together may take: twice those of the file, as half precision is widened."""

    def __init__(self, file_bytes: int) -> None:
        self.left = 2 * file_bytes

    def take(self, n_bytes: int) -> None:
        self.left -= n_bytes
        if self.left < 0:
            raise InputError("describes more numbers than it holds; give the published file.")


def _array(tensor: _Tensor, data: bytes, budget: _Budget) -> NDArray[Any]:
    """The tensor's own numbers, in order; strides are checked against the storage before they are followed."""
    storage = tensor.storage
    dtype = np.dtype(storage.dtype)
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if len(data) < (storage.start + storage.size) * dtype.itemsize or (count and last >= storage.size):
        raise InputError("describes more numbers than it holds; copy the file again.")
    wide = dtype.kind == "f" or storage.dtype == "<u2"
    budget.take(count * (4 if wide else dtype.itemsize))
    flat = np.frombuffer(data, dtype, storage.size, storage.start * dtype.itemsize)
    if not count:
        return np.empty(tensor.shape, np.float32 if wide else dtype)
    steps = [step * dtype.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)
    if storage.dtype == "<u2":
        return (view.astype(np.uint32) << 16).view(np.float32)
    array = view.astype(np.float32) if wide else view.copy()
    return np.ascontiguousarray(array).reshape(tensor.shape)
