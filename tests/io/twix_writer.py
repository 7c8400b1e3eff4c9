"""Siemens raw files for tests, written from the published layout of the headers and by no reader's code.

VD and later: a table of measurements, and for each line one header of 192 bytes and one of 32 bytes for each coil.
VB: no table, and a header of 128 bytes before the samples of each coil.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Line", "Measurement", "write"]

FLAGS = {"end": 0, "feedback": 1, "sync": 5, "phase correction": 21, "calibration": 22, "reflected": 24, "noise": 25}
"""Number of the bit in the evaluation mask."""

_COUNTERS = ("line", "average", "slice", "partition", "contrast", "phase", "repetition", "set", "segment")
_BLOCK = 512


@dataclass
class Line:
    """One readout: (coil, sample) complex64, its counters, flags and time stamp (ticks of 2.5 ms)."""

    data: NDArray[np.complex64]
    ticks: int = 0
    flags: tuple[str, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    cut: tuple[int, int] = (0, 0)
    centre: int | None = None
    """Where no centre is given, the middle."""
    centre_partition: int = 0
    position: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Sagittal, coronal, transverse, mm."""
    quaternion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """Scalar first."""


@dataclass
class Measurement:
    """Protocol numbers by their ASCCONV names, further text of the header, and lines in order."""

    lines: list[Line]
    protocol: dict[str, str] = field(default_factory=dict)
    config: str = ""
    oversampling: float = 2.0
    patient: bytes = b"xxxx"
    name: bytes = b"scan"
    ended: bool = True


def _counters(line: Line) -> bytes:
    return struct.pack("<14H", *(line.counters.get(name, 0) for name in _COUNTERS), 0, 0, 0, 0, 0)


def _mask(line: Line) -> int:
    return sum(1 << FLAGS[name] for name in line.flags)


def _middle(line: Line) -> bytes:
    """Samples, coils, counters, cut-off, centre: the same in both layouts."""
    coils, samples = line.data.shape
    centre = samples // 2 if line.centre is None else line.centre
    return (
        struct.pack("<2H", samples, coils)
        + _counters(line)
        + struct.pack("<2H", *line.cut)
        + struct.pack("<2HfI2H", centre, 0, 0.0, 0, 0, line.centre_partition)
    )


def _modern(line: Line, number: int) -> bytes:
    coils, samples = line.data.shape
    length = 192 + coils * (32 + 8 * samples)
    head = struct.pack("<IiIII", length, 7, number, line.ticks, line.ticks)
    head += struct.pack("<2H4i", 0, 0, 0, 0, 0, 0) + struct.pack("<Q", _mask(line)) + _middle(line)
    head += struct.pack("<7f", *line.position, *line.quaternion) + bytes(48) + bytes(8) + struct.pack("<2HI", 0, 0, 0)
    assert len(head) == 192
    body = b""
    for coil in range(coils):
        body += struct.pack("<IiIiII2HI", (32 + 8 * samples) << 8, 7, number, 0, line.ticks, 0, coil, 0, 0)
        body += line.data[coil].astype("<c8").tobytes()
    return head + body


def _old(line: Line, number: int) -> bytes:
    coils, samples = line.data.shape
    body = b""
    for coil in range(coils):
        head = struct.pack("<IiIII", 128 + 8 * samples, 7, number, line.ticks, line.ticks)
        head += struct.pack("<Q", _mask(line)) + _middle(line)
        head += bytes(16) + struct.pack("<7f", *line.position, *line.quaternion) + struct.pack("<2H", coil, 0)
        assert len(head) == 128
        body += head + line.data[coil].astype("<c8").tobytes()
    return body


def _end(number: int, modern: bool) -> bytes:
    head = struct.pack("<IiIII", 192 + 160 if modern else 128, 7, number, 0, 0)
    head += (struct.pack("<2H4i", 0, 0, 0, 0, 0, 0) if modern else b"") + struct.pack("<Q", 1)
    return head.ljust(192 + 160 if modern else 128, b"\0")


def _header(measurement: Measurement) -> bytes:
    ascconv = "".join(f"{key}\t = \t{value}\n" for key, value in measurement.protocol.items())
    yaps = f"### ASCCONV BEGIN ###\n{ascconv}\n### ASCCONV END ###"
    dicom = (
        '<XProtocol>\n{\n<ParamString."SoftwareVersions">{ "syngo MR E11" }\n'
        f'<ParamDouble."flReadoutOSFactor">  {{ <Precision> 6  {measurement.oversampling:.6f}  }}\n}}\n'
    )
    parts = {"Config": measurement.config, "Dicom": dicom, "Meas": "", "MeasYaps": yaps, "Phoenix": yaps, "Spice": ""}
    body = b"".join(
        name.encode() + b"\0" + struct.pack("<I", len(text) + 1) + text.encode("latin-1") + b"\0"
        for name, text in parts.items()
    )
    # Real headers are far longer than 10 kB, by which readers tell the two layouts apart.
    length = max(-(-(8 + len(body)) // 32) * 32, 10272)
    return struct.pack("<II", length, len(parts)) + body.ljust(length - 8, b"\0")


def _measurement(measurement: Measurement, modern: bool) -> bytes:
    one = _modern if modern else _old
    content = _header(measurement)
    content += b"".join(one(line, number + 1) for number, line in enumerate(measurement.lines))
    return content + (_end(len(measurement.lines) + 1, modern) if measurement.ended else b"")


def write(path: Path, *measurements: Measurement, modern: bool = True) -> Path:
    """Write a file of VD or later, or of VB, which holds one measurement only."""
    if not modern:
        path.write_bytes(_measurement(measurements[0], False))
        return path
    content, table = b"", struct.pack("<II", 0, len(measurements))
    for number, measurement in enumerate(measurements):
        one = _measurement(measurement, True)
        table += struct.pack("<IIQQ", 100 + number, 200 + number, 10240 + len(content), len(one))
        table += measurement.patient.ljust(64, b"\0") + measurement.name.ljust(64, b"\0")
        content += one.ljust(-(-len(one) // _BLOCK) * _BLOCK, b"\0")
    path.write_bytes(table.ljust(10240, b"\0") + content)
    return path
