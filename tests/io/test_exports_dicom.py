"""DICOM: what the standard asks for, what a reader finds, and what an independent validator says."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_rescale

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io import export_series
from napari_dainr.io.dicom import SERIES_NUMBER
from napari_dainr.plane import Plane

from .exported import STEP_S, make_series

# DICOM PS3.3, A.4 (MR Image IOD): the mandatory modules, their attributes of type 1 (there, with a value) and type 2
# (there), and those of type 1C and 2C whose condition holds for these images.
TYPE_1 = {
    "General Study": ["StudyInstanceUID"],
    "General Series": ["Modality", "SeriesInstanceUID"],
    "Frame of Reference": ["FrameOfReferenceUID"],
    "Image Plane": ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"],
    "Image Pixel": [
        *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
        *("PixelRepresentation", "PixelData"),
    ],
    "MR Image": ["ImageType", "ScanningSequence", "SequenceVariant"],
    "SOP Common": ["SOPClassUID", "SOPInstanceUID"],
    "Patient": ["DeidentificationMethod"],  # because PatientIdentityRemoved is YES
    "VOI LUT": ["WindowWidth"],  # because WindowCenter is there
}
TYPE_2 = {
    "Patient": ["PatientName", "PatientID", "PatientBirthDate", "PatientSex"],
    "General Study": ["StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"],
    "General Series": ["SeriesNumber", "PatientPosition", "Laterality"],
    "Frame of Reference": ["PositionReferenceIndicator"],
    "General Equipment": ["Manufacturer"],
    "General Image": ["InstanceNumber", "ContentDate", "ContentTime"],  # of a series in time
    "Image Plane": ["SliceThickness"],
    "MR Image": ["ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"],
}
FREE = {  # attributes that may hold words: all of them, so that no other is ever added unseen
    *("PatientID", "DeidentificationMethod", "SeriesDescription", "Manufacturer", "ManufacturerModelName"),
    *("SoftwareVersions", "DerivationDescription", "ImageComments", "RescaleType", "StudyID"),
}


def exported(tmp_path: Path, series: ImageSeries, **options: bool) -> list[FileDataset]:
    export_series(series, tmp_path / "out.dcm", **options)
    return [pydicom.dcmread(file) for file in sorted((tmp_path / "out.dcm").iterdir())]


def seconds(time: str) -> float:
    return 3600 * int(time[:2]) + 60 * int(time[2:4]) + float(time[4:])


def test_mandatory_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    for file in exported(tmp_path, make_series()):
        for module, keywords in TYPE_1.items():
            for keyword in keywords:
                assert keyword in file and file[keyword].VM > 0, f"{module}: {keyword}"
        for module, keywords in TYPE_2.items():
            for keyword in keywords:
                assert keyword in file, f"{module}: {keyword}"
        assert file.file_meta.MediaStorageSOPClassUID == file.SOPClassUID == pydicom.uid.MRImageStorage
        assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID
        assert (file.BitsAllocated, file.BitsStored, file.HighBit, file.SamplesPerPixel) == (16, 16, 15, 1)
        assert file.PhotometricInterpretation == "MONOCHROME2" and file.Modality == "MR"


def test_an_independent_validator_finds_no_error(tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None or shutil.which("dcentvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    for number, factor in enumerate((1.0, 1e-9, 1e9, 0.0)):
        turned = Plane((0.6, 0.8, 0.0), (0.0, 0.0, -1.0), (12.5, -40.25, 7.125))
        series = replace(make_series(n_frames=3), plane=turned if number % 2 else None)
        folder = tmp_path / f"{number}.dcm"
        export_series(replace(series, image=(series.image * factor).astype(np.complex64)), folder, cardiac=number == 0)
        files = sorted(folder.iterdir())
        for file in files:
            done = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True, check=False)
            assert "MRImage" in done.stderr and "Error" not in done.stderr, done.stderr
        together = subprocess.run(["dcentvfy", *files], capture_output=True, text=True, check=False)
        assert together.returncode == 0 and not together.stderr, together.stderr


@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e9])
def test_numbers_share_one_scale(tmp_path: Path, factor: float) -> None:
    series = make_series()
    series = replace(series, image=(series.image * factor * np.arange(1, 6)[:, None, None]).astype(np.complex64))
    files = exported(tmp_path, series)
    slopes = {str(file.RescaleSlope) for file in files}
    assert len(slopes) == 1 and {float(file.RescaleIntercept) for file in files} == {0}
    slope = float(slopes.pop())
    found = np.stack([apply_rescale(file.pixel_array, file) for file in files])
    assert np.abs(found - series.magnitude).max() <= slope / 2 * (1 + 1e-6)
    assert slope == pytest.approx(float(series.magnitude.max()) / 65535, rel=1e-9)
    assert max(int(file.pixel_array.max()) for file in files) == 65535
    windows = {(str(file.WindowCenter), str(file.WindowWidth), file.VOILUTFunction) for file in files}
    assert len(windows) == 1
    centre, width, function = windows.pop()
    assert float(width) == pytest.approx(np.percentile(series.magnitude, 99.9)) == pytest.approx(2 * float(centre))
    assert function == ("LINEAR" if factor > 1 else "LINEAR_EXACT")


def test_times_are_seconds_of_the_scan(tmp_path: Path) -> None:
    series = replace(make_series(), times_s=np.array([0.2, 0.3, 0.45, 61.5, 3725.000001]), frame_duration_s=0.4)
    files = exported(tmp_path, series)
    np.testing.assert_allclose([seconds(file.ContentTime) for file in files], series.times_s, atol=6e-7)
    np.testing.assert_allclose([seconds(file.AcquisitionTime) for file in files], series.times_s - 0.2, atol=6e-7)
    assert [file.ContentTime for file in files][-1] == "010205.000001"
    assert [file.TemporalPositionIdentifier for file in files] == [1, 2, 3, 4, 5]
    assert [file.InstanceNumber for file in files] == [1, 2, 3, 4, 5]
    assert {int(file.NumberOfTemporalPositions) for file in files} == {5}
    for file in files:
        assert float(file.TemporalResolution) == pytest.approx(1000 * series.frame_step_s)
    assert not any("TriggerTime" in file for file in files)


def test_trigger_times_of_a_heart_beat(tmp_path: Path) -> None:
    files = exported(tmp_path, make_series(), cardiac=True)
    np.testing.assert_allclose([file.TriggerTime for file in files], 1000 * STEP_S * np.arange(5), rtol=1e-9)
    assert {file.ScanOptions for file in files} == {"CG"}  # without which the standard forbids trigger times


def test_times_before_midnight_are_shifted_together(tmp_path: Path) -> None:
    files = exported(
        tmp_path, replace(make_series(n_frames=3), times_s=np.array([0.0, 1.0, 2.0]), frame_duration_s=1.0)
    )
    assert [seconds(file.AcquisitionTime) for file in files] == [0, 1, 2]
    assert [seconds(file.ContentTime) for file in files] == [0.5, 1.5, 2.5]


def test_a_series_longer_than_a_day(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^out\.dcm: the series lasts longer than a day"):
        exported(tmp_path, replace(make_series(n_frames=2), times_s=np.array([0.0, 90_000.0])))
    assert not list(tmp_path.iterdir())


def test_position_and_orientation(tmp_path: Path) -> None:
    series = make_series()  # pixels of 1.7 mm along y, 1.25 mm along x; bright at row 3, column 2 + frame
    for number, file in enumerate(exported(tmp_path, series)):
        assert [float(size) for size in file.PixelSpacing] == [1.7, 1.25]  # from row to row, from column to column
        assert (file.Rows, file.Columns) == (33, 21)
        assert np.unravel_index(file.pixel_array.argmax(), (33, 21)) == (3, 2 + number)
        along_row, down = np.array(file.ImageOrientationPatient, float).reshape(2, 3)
        corner = np.array(file.ImagePositionPatient, float)
        centre = corner + 16 * 1.7 * down + 10 * 1.25 * along_row
        np.testing.assert_allclose(centre, 0, atol=1e-9)  # pixel n // 2
        np.testing.assert_array_equal([along_row, down], [[1, 0, 0], [0, 1, 0]])  # to the left, to the back
        assert file.SliceThickness is None  # unknown


def test_same_world_as_nifti(tmp_path: Path) -> None:
    import nibabel

    series = make_series()
    file = exported(tmp_path, series)[0]
    export_series(series, tmp_path / "out.nii.gz")
    affine = nibabel.load(tmp_path / "out.nii.gz").affine
    row, down = np.array(file.ImageOrientationPatient, float).reshape(2, 3)
    for x, y in ((0, 0), (20, 0), (7, 32)):
        dicom = np.array(file.ImagePositionPatient, float) + x * 1.25 * row + y * 1.7 * down
        np.testing.assert_allclose((affine @ [x, y, 0, 1])[:3], dicom * [-1, -1, 1], atol=1e-5)  # LPS and RAS


def test_derived_and_made_up(tmp_path: Path) -> None:
    series = make_series()
    files = exported(tmp_path, series)
    for file, drawn in zip(files, series.interpolated, strict=True):
        assert list(file.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert file.PatientIdentityRemoved == "YES" and file.BurnedInAnnotation == "NO"
        assert not file.PatientName and not file.PatientBirthDate and file.PatientID.startswith("RESEARCH-")
        assert int(file.SeriesNumber) == SERIES_NUMBER >= 301
        for keyword in ("ImageComments", "SeriesDescription", "DerivationDescription"):
            assert RESEARCH_USE in str(file[keyword].value), keyword
        assert ("Interpolated" in str(file.ImageComments)) == drawn
        words = {e.keyword for e in file if e.VR in ("LO", "LT", "SH", "ST", "UT", "PN") and not e.is_empty}
        assert words <= FREE, words - FREE
        assert not any(element.tag.is_private for element in file)
        assert not [e.keyword for e in file if e.VR in ("DA", "DT") and not e.is_empty]  # no date at all
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert len({str(file[keyword].value) for file in files}) == 1
    assert len({file.SOPInstanceUID for file in files}) == len(files)
    again = exported(tmp_path, series)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID", "SOPInstanceUID"):
        assert again[0][keyword].value != files[0][keyword].value


def test_many_frames_sort_by_name(tmp_path: Path) -> None:
    files = exported(tmp_path, make_series(n_frames=12, size=(9, 16)))
    assert [int(file.InstanceNumber) for file in files] == list(range(1, 13))


def test_fewer_frames_leave_none_of_the_old(tmp_path: Path) -> None:
    exported(tmp_path, make_series())
    assert len(exported(tmp_path, make_series(n_frames=2))) == 2


def test_files_of_a_scanner_are_not_replaced(tmp_path: Path) -> None:
    exported(tmp_path, make_series(n_frames=2))
    first = tmp_path / "out.dcm" / "0001.dcm"
    file = pydicom.dcmread(first)
    file.ManufacturerModelName = "Scanner"
    file.save_as(first)
    with pytest.raises(ExportError, match="something else has that name"):
        exported(tmp_path, make_series())
    assert len(list((tmp_path / "out.dcm").iterdir())) == 2
