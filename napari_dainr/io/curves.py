"""Curves, quantities and contrast phases as tables: CSV in long form, and tab-separated text for the clipboard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.curves import Curve, in_mode
from napari_dainr.analysis.phases import Phase
from napari_dainr.analysis.quantities import QUANTITIES, Quantities, shown
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import write_text

__all__ = [
    "CURVE_COLUMNS",
    "CurveEntry",
    "PhaseEntry",
    "QuantityEntry",
    "curves_csv",
    "curves_tsv",
    "harmless",
    "quantities_csv",
    "quantities_tsv",
    "table",
    "write_curves",
    "write_phases",
    "write_quantities",
]

CURVE_COLUMNS = (
    "recon", "roi", "role", "t_s", "frame", "interpolated", "n", "mean", "sd", "median", "min", "max", "re_percent",
)  # fmt: skip
"""Of the file: one row per reconstruction, region and frame. An empty cell is a value that is not defined."""


@dataclass(frozen=True, eq=False)
class CurveEntry:
    """One curve of a table.

    Parameters
    ----------
    recon
        Name of the reconstruction.
    roi, role
        Name of the region, and key of its role.
    curve
        Signal, not enhancement.
    baseline
        S_BL for the relative enhancement; None where there is none.
    """

    recon: str
    roi: str
    role: str
    curve: Curve
    baseline: float | None = None


@dataclass(frozen=True)
class QuantityEntry:
    """One row of the table of quantities.

    Parameters
    ----------
    recon
        Name of the reconstruction.
    roi, role
        Name of the region, and key of its role.
    n
        Pixels of the region.
    quantities
        What was read off its curve.
    """

    recon: str
    roi: str
    role: str
    n: int
    quantities: Quantities


@dataclass(frozen=True)
class PhaseEntry:
    """Contrast phases of one series.

    Parameters
    ----------
    recon
        Name of the reconstruction.
    phases
        In order of time.
    note
        What they are: a suggestion, or set by hand; never a diagnosis.
    """

    recon: str
    phases: tuple[Phase, ...]
    note: str


def _number(value: float | None) -> str:
    """All digits; empty if it is not defined."""
    return repr(float(value)) if value is not None and isfinite(value) else ""


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LIVE = re.compile(r"""(^|[,;\t\r\n])(?=['"\s]*[=+\-@\t\r\n\0＝＋－＠])""")


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe before what begins as one.

    A formula begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break, also full-width or after blanks and
    quotes, at the start of a cell or behind anything that some spreadsheet splits cells at (OWASP, "CSV Injection").
    Numbers stay as they are. One apostrophe taken away from before each of these gives the text again.
    """
    return text if _NUMBER.fullmatch(text) else _LIVE.sub(r"\1'", text)


def table(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    """Rows as text, each cell :func:`harmless`.

    One that holds the delimiter, a quote, a line break of any kind or ``#``, where readers that were told to leave
    out remarks would cut the line, is quoted.
    """
    special = {delimiter, '"', "\r", "\n", "#"}

    def cell(text: str) -> str:
        text = harmless(text)
        return text if special.isdisjoint(text) else '"' + text.replace('"', '""') + '"'

    return "".join(delimiter.join(map(cell, row)) + "\n" for row in rows)


def _curve_rows(entries: Sequence[CurveEntry]) -> Iterable[Sequence[str]]:
    yield CURVE_COLUMNS
    for entry in entries:
        curve = entry.curve
        relative = in_mode(curve, "relative", entry.baseline).mean
        for frame in range(len(curve.times_s)):
            statistics = (curve.mean, curve.sd, curve.median, curve.minimum, curve.maximum, relative)
            yield (
                entry.recon, entry.roi, entry.role, _number(curve.times_s[frame]), str(frame),
                str(int(curve.interpolated[frame])), str(curve.n), *(_number(one[frame]) for one in statistics),
            )  # fmt: skip


def _facts(entries: Sequence[CurveEntry]) -> list[str]:
    resolutions = {entry.recon: entry.curve.frame_duration_s for entry in entries}
    return [
        RESEARCH_USE,
        "mean, sd, median, min, max: magnitude in arbitrary units; sd: sample standard deviation over the pixels",
        "t_s: centre of the frame, seconds from the first spoke; interpolated: 1 where nothing was measured",
        *(f"native temporal resolution of {_plain(name)}: {value:.6g} s" for name, value in resolutions.items()),
    ]


def _plain(text: str) -> str:
    return " ".join(text.split())


def _remarks(lines: Iterable[str]) -> str:
    """Lines above the header; a quote there would swallow the rows below it in a reader that knows no remarks."""
    return "".join("# {}\n".format(harmless(line.replace('"', "'"))) for line in lines)


def curves_csv(entries: Sequence[CurveEntry]) -> str:
    """Curves in long form, :data:`CURVE_COLUMNS`, below remarks that begin with ``#``.

    ``pandas.read_csv(path, comment="#")`` and R's ``read.csv(path, comment.char = "#")`` read it.
    """
    return _remarks(_facts(entries)) + table(_curve_rows(entries), ",")


def curves_tsv(entries: Sequence[CurveEntry]) -> str:
    """The same for the clipboard: tab-separated, the header first and the notice last."""
    return table([*_curve_rows(entries), (RESEARCH_USE,)], "\t")


def _quantity_rows(entries: Sequence[QuantityEntry], exact: bool) -> Iterable[Sequence[str]]:
    def cell(value: float | None) -> str:
        return _number(value) if exact else shown(value)

    titles = [f"{q.title} ({q.unit})" for q in QUANTITIES]
    more = (
        "maximum_time_s",
        "auc_from_s",
        "auc_to_s",
        "baseline_from_s",
        "baseline_to_s",
        "temporal_resolution_s",
    )
    heads = (
        "Maximum at (s)",
        "AUC from (s)",
        "AUC to (s)",
        "Baseline from (s)",
        "Baseline to (s)",
        "Native temporal resolution (s)",
    )
    yield ("recon", "roi", "role", "n", *([q.key for q in QUANTITIES] if exact else titles),
           *(more if exact else heads), "onset_method" if exact else "Bolus arrival by")  # fmt: skip
    for entry in entries:
        found = entry.quantities
        values = [getattr(found, q.key) for q in QUANTITIES]
        limits = (
            found.maximum_time_s,
            found.auc_from_s,
            found.auc_to_s,
            *found.baseline_window_s,
            found.frame_duration_s,
        )
        yield (entry.recon, entry.roi, entry.role, str(entry.n), *(cell(v) for v in values),
               *(cell(v) for v in limits), found.onset_method)  # fmt: skip


def quantities_csv(entries: Sequence[QuantityEntry]) -> str:
    """One row per curve, the keys of ``QUANTITIES`` as columns; an empty cell is a quantity that is not defined."""
    units = "; ".join(f"{q.key}: {q.title}, {q.code}, {q.unit}" for q in QUANTITIES)
    return _remarks([RESEARCH_USE, units]) + table(_quantity_rows(entries, exact=True), ",")


def quantities_tsv(entries: Sequence[QuantityEntry]) -> str:
    """The same for the clipboard: tab-separated, four digits, "not defined" in words, the notice last."""
    return table([*_quantity_rows(entries, exact=False), (RESEARCH_USE,)], "\t")


def _write(path: Path, as_csv: str, as_tsv: str) -> None:
    texts = {".csv": as_csv, ".tsv": as_tsv, ".txt": as_tsv}
    if path.suffix.lower() not in texts:
        raise InputError(f"{path.name}: cannot tell the format to write; end the name in .csv, .tsv or .txt.")
    write_text(path, texts[path.suffix.lower()])


def write_curves(entries: Sequence[CurveEntry], path: Path) -> None:
    """Write curves as ``.csv`` or, as for the clipboard, ``.tsv``; raises ExportError if they cannot be written."""
    _write(Path(path), curves_csv(entries), curves_tsv(entries))


def write_quantities(entries: Sequence[QuantityEntry], path: Path) -> None:
    """Write quantities as ``.csv`` or, as for the clipboard, ``.tsv``; raises ExportError."""
    _write(Path(path), quantities_csv(entries), quantities_tsv(entries))


def _phase_rows(entries: Sequence[PhaseEntry]) -> Iterable[Sequence[str]]:
    yield ("recon", "phase", "from_s", "to_s")
    for entry in entries:
        for phase in entry.phases:
            yield (entry.recon, phase.name, _number(phase.start_s), _number(phase.end_s))


def write_phases(entries: Sequence[PhaseEntry], path: Path) -> None:
    """Write contrast phases, seconds from the first spoke, as ``.csv`` or ``.tsv``; raises ExportError."""
    notes = [f"phases of {_plain(entry.recon)}: {entry.note}" for entry in entries]
    as_csv = _remarks([RESEARCH_USE, *notes]) + table(_phase_rows(entries), ",")
    _write(Path(path), as_csv, table([*_phase_rows(entries), *((note,) for note in notes), (RESEARCH_USE,)], "\t"))
