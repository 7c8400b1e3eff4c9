"""Tables of curves and quantities, read back by the standard library."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.curves import Curve
from napari_dainr.analysis.phases import Phase
from napari_dainr.analysis.quantities import QUANTITIES, quantities_of
from napari_dainr.analysis.sections import Strip
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io.curves import (
    CURVE_COLUMNS,
    CurveEntry,
    PhaseEntry,
    QuantityEntry,
    curves_csv,
    curves_tsv,
    harmless,
    quantities_csv,
    quantities_tsv,
    write_curves,
    write_phases,
    write_quantities,
)
from napari_dainr.io.strips import write_strips

TIMES = np.array([0.1, 1 / 3, 2.0])


def curve(sd: float = 0.25) -> Curve:
    mean = np.array([2.0, 3.0, np.pi])
    return Curve(TIMES, mean, np.full(3, sd), mean + 1, mean - 1, mean + 9, 6, np.array([False, True, False]), 1.9)


def entries() -> list[CurveEntry]:
    return [
        CurveEntry("NuFFT", 'a "vessel", left', "AO", curve(), 2.0),
        CurveEntry("DA-INR", "tab\there", "OTHER", curve(float("nan")), None),
    ]


def table(text: str, delimiter: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter=delimiter))


def test_curves_come_back_to_the_last_digit() -> None:
    text = curves_csv(entries())
    assert text.startswith(f"# {RESEARCH_USE}\n")
    assert "# native temporal resolution of DA-INR: 1.9 s\n" in text
    rows = table(text, ",")
    assert tuple(rows[0]) == CURVE_COLUMNS and len(rows) == 6
    assert [float(row["t_s"]) for row in rows] == [*TIMES, *TIMES]
    assert [row["frame"] for row in rows[:3]] == ["0", "1", "2"]
    assert [row["interpolated"] for row in rows[:3]] == ["0", "1", "0"]
    assert rows[0]["roi"] == 'a "vessel", left' and rows[3]["roi"] == "tab\there" and rows[3]["role"] == "OTHER"
    assert float(rows[2]["mean"]) == np.pi and float(rows[2]["median"]) == np.pi + 1
    assert (rows[2]["min"], rows[2]["max"], rows[2]["n"]) == (repr(np.pi - 1), repr(np.pi + 9), "6")
    assert [float(row["re_percent"]) for row in rows[:2]] == [0.0, 50.0]
    assert all(row["re_percent"] == "" and row["sd"] == "" for row in rows[3:])


def test_clipboard_has_the_header_first_and_the_notice_last() -> None:
    lines = curves_tsv(entries()).splitlines()
    assert lines[0].split("\t") == list(CURVE_COLUMNS) and lines[-1] == RESEARCH_USE
    assert len(lines) == 8


def test_quantities_not_defined_are_empty_or_say_so() -> None:
    times = np.arange(0, 100.0)
    rise = quantities_of(times, np.interp(times, [0, 10, 20, 99], [5, 5, 25, 15]), (0, 10), frame_duration_s=2.5)
    flat = quantities_of(times, np.full(100, 5.0), (0, 10))
    some = [QuantityEntry("GRASP", "Aorta", "AO", 12, rise), QuantityEntry("GRASP", "Air", "OTHER", 3, flat)]
    rows = table(quantities_csv(some), ",")
    assert float(rows[0]["time_to_peak_s"]) == pytest.approx(10) and float(rows[0]["temporal_resolution_s"]) == 2.5
    assert (float(rows[0]["auc_from_s"]), float(rows[0]["auc_to_s"])) == pytest.approx((10, 70))
    assert (float(rows[0]["bolus_arrival_time_s"]), float(rows[0]["maximum_time_s"])) == pytest.approx((10, 20))
    assert rows[1]["time_to_peak_s"] == "" and rows[1]["auc"] == "" and float(rows[1]["baseline"]) == 5
    assert "P.BA2.004" in rows[0]["onset_method"]
    assert all(q.key in rows[0] for q in QUANTITIES)
    copied = table(quantities_tsv(some), "\t")
    assert copied[1]["Time to peak (s)"] == "not defined" and copied[0]["Time to peak (s)"] == "10"
    assert copied[0]["Wash-out slope (a.u./s)"] == "-0.1266"
    assert quantities_tsv(some).endswith(RESEARCH_USE + "\n")
    assert quantities_csv(some).startswith(f"# {RESEARCH_USE}\n")


def test_files_by_suffix(tmp_path: Path) -> None:
    write_curves(entries(), tmp_path / "c.csv")
    write_curves(entries(), tmp_path / "c.tsv")
    assert (tmp_path / "c.csv").read_text(encoding="utf-8") == curves_csv(entries())
    assert (tmp_path / "c.tsv").read_text(encoding="utf-8") == curves_tsv(entries())
    with pytest.raises(InputError, match=r"c\.xlsx"):
        write_curves(entries(), tmp_path / "c.xlsx")
    with pytest.raises(ExportError, match="does not exist"):
        write_quantities([], tmp_path / "no" / "q.csv")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["c.csv", "c.tsv"]


def strip(scale: float = 1.0) -> Strip:
    values = scale * np.arange(12.0).reshape(3, 4)
    values[:, 3] = np.nan
    return Strip(values, 0.5 * np.arange(4), TIMES, np.array([False, True, False]), np.array([[0.0, 0], [0, 1.5]]))


def test_strips_as_arrays_and_figure(tmp_path: Path) -> None:
    from PIL import Image

    one = strip()
    write_strips([("NuFFT", one)], tmp_path / "s.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), one.values)
    assert RESEARCH_USE in (tmp_path / "s.json").read_text()
    write_strips([("NuFFT", one)], tmp_path / "s.npy")  # its own facts may be replaced
    write_strips([("NuFFT", one)], tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as file:
        np.testing.assert_array_equal(file["values"], one.values)
        np.testing.assert_array_equal(file["distance_mm"], one.distance_mm)
        assert str(file["note"]) == RESEARCH_USE
    write_strips([("NuFFT", one), ("GRASP", strip(2))], tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.text["Description"] == RESEARCH_USE
        grey = np.asarray(picture.convert("L"))
    assert len(np.unique(grey)) > 20
    (tmp_path / "t.json").write_text("[]")
    with pytest.raises(ExportError, match=r"t\.json"):
        write_strips([("NuFFT", one)], tmp_path / "t.npy")
    assert not (tmp_path / "t.npy").exists()
    for name, strips, words in (
        ("s.gif", [("a", one)], "cannot tell"), ("s.npz", [("a", one), ("b", one)], "one series"), ("s.png", [], "no"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            write_strips(strips, tmp_path / name)


BAD_STARTS = "=+-@\t\r\n\0＝＋－＠"
odd_text = st.text(st.sampled_from("=+-@'\"\t\r\n,; a1.e＝＠#é"), max_size=9) | st.text(max_size=9)


def live_cells(text: str, delimiter: str) -> list[str]:
    """Cells that begin as a formula does: of a spreadsheet that splits there, keeps to quotes or knows none."""
    by_the_rules = [cell for row in csv.reader(io.StringIO(text), delimiter=delimiter) for cell in row]
    by_force = re.split(r"[,;\t\r\n]", text)
    cells = [cell.lstrip(' "') for cell in (*by_the_rules, *by_force)]
    return [cell for cell in cells if cell and cell[0] in BAD_STARTS and not is_number(cell.rstrip(' "'))]


def is_number(cell: str) -> bool:
    try:
        return cell.isascii() and "_" not in cell and float(cell) is not None
    except ValueError:
        return False


def as_it_was(cell: str) -> str:
    """What the how-to says: one apostrophe away from before each beginning of a formula."""
    return re.sub(r"""(^|[,;\t\r\n])'(?=['"\s]*[=+\-@\t\r\n\0＝＋－＠])""", r"\1", cell)


@given(name=odd_text, other=odd_text)
def test_no_name_is_a_formula_and_every_name_comes_back(name: str, other: str) -> None:
    one = curve()
    found = quantities_of(one.times_s, one.mean, (0, 3), frame_duration_s=1.0)
    drawn = [CurveEntry(other, name, "AO", one, 2.0)]
    read = [QuantityEntry(other, name, "AO", 6, found)]
    for text, delimiter in (
        (curves_csv(drawn), ","), (curves_tsv(drawn), "\t"), (quantities_csv(read), ","), (quantities_tsv(read), "\t"),
    ):  # fmt: skip
        assert not live_cells(text, delimiter)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        row = next(row for row in rows if len(row) > 12 and row[2] == "AO")
        assert [as_it_was(cell) for cell in row[:2]] == [other, name]


def test_a_name_with_any_sign_is_read_by_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    names = ["liver #2", '#1, "left"', 'a,"b', "-liver", "=1+1", "-5", "a\rb", "a\nb"]
    write_curves([CurveEntry("DA-INR", name, "OTHER", curve(), 2.0) for name in names], tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = pandas.read_csv(file, comment="#", dtype={"roi": str})
    assert [as_it_was(name) for name in rows["roi"][::3]] == names
    assert list(rows["roi"][::3])[3:6] == ["'-liver", "'=1+1", "-5"]
    assert rows["mean"].dtype == np.float64 and list(rows["frame"][:3]) == [0, 1, 2]


def test_phases_of_an_odd_name(tmp_path: Path) -> None:
    write_phases([PhaseEntry('=a,"', (Phase("arterial", 1.0, 2.0),), "a suggestion")], tmp_path / "p.csv")
    text = (tmp_path / "p.csv").read_text()
    assert not live_cells(text, ",")
    assert list(csv.reader(io.StringIO(text)))[-1] == ["'=a,\"", "arterial", "1.0", "2.0"]


@pytest.mark.parametrize("text", ["-1.5", "+2", "1e-05", "-.5", "liver", "a-b", "a = b", "5 %", ""])
def test_numbers_and_plain_names_stay(text: str) -> None:
    assert harmless(text) == text
