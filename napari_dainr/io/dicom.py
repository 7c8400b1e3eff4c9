"""A series as classic DICOM MR images: a folder with one file per frame.

The attributes are those that the MR Image IOD (DICOM PS3.3, A.4) requires, and those that order frames in time. None is
copied from the raw file. Patient and study are made up, so a file cannot be taken for one of a real examination.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE, __version__
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import atomic_folder
from napari_dainr.io.facts import WRITTEN_BY

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SERIES_NUMBER", "write_dicom"]

SERIES_NUMBER = 301
"""Above the numbers that scanners give, so that a derived series sorts behind them."""

_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
_HIGHEST = 65535
_NAME = re.compile(r"\d{4,}\.dcm")
_DAY_S = 86400.0


def write_dicom(series: ImageSeries, path: Path, cardiac: bool = False) -> None:
    """Write magnitudes as 16-bit numbers with one RescaleSlope for all frames; ``path`` becomes a folder.

    Stored numbers times RescaleSlope are within half a slope, 1/131070 of the largest magnitude, of the series.
    AcquisitionTime is the start of each frame and ContentTime its centre, seconds from the first spoke counted from
    midnight, because the date and hour of the scan stay out. TemporalResolution is the time from frame to frame in
    ms. Orientation and position are the slice's where they are known; else they are made up, which the comment says: an
    axial slice with pixel ``n // 2`` at 0 mm, as in NIfTI. SliceThickness is empty.

    Parameters
    ----------
    cardiac
        Whether the series is one heart beat: then ScanOptions says so, and TriggerTime is each frame's time in ms from
        the first frame, by which viewers play such cines. The standard forbids TriggerTime otherwise.

    Raises
    ------
    InputError
        If the series lasts longer than a day or is too large for DICOM.
    ExportError
        If it cannot be written, does not read back the same, or something else is in its place.
    """
    import pydicom

    path = Path(path)
    starts, centres = _clock_times(series, path.name)
    if max(series.image.shape[1:]) > _HIGHEST:
        raise InputError(f"{path.name}: an image is too large for DICOM; choose another format.")
    slope, levels = _levels(series.magnitude)
    common = _common(series, slope)
    width = max(4, len(str(series.n_frames)))
    names = [f"{number:0{width}d}.dcm" for number in range(1, series.n_frames + 1)]
    frames = [_frame(common, levels[i], i, (starts[i], centres[i]), series, cardiac) for i in range(series.n_frames)]

    def write(folder: Path) -> None:
        for name, frame in zip(names, frames, strict=True):
            pydicom.dcmwrite(folder / name, frame, enforce_file_format=True)

    def verify(folder: Path) -> None:
        if sorted(file.name for file in folder.iterdir()) != names:
            raise ValueError("files are missing")
        for name, frame in zip(names, frames, strict=True):
            found = pydicom.dcmread(folder / name)
            if not np.array_equal(found.pixel_array, np.frombuffer(frame.PixelData, "<u2").reshape(levels.shape[1:])):
                raise ValueError(f"the samples of {name} differ")
            for element in frame:
                if element.keyword not in found or str(found[element.tag].value or "") != str(element.value or ""):
                    raise ValueError(f"{element.keyword} of {name} differs")

    atomic_folder(path, write, verify, levels.nbytes + 4096 * series.n_frames, ours=_is_ours)


def _is_ours(folder: Path) -> bool:
    import pydicom

    try:
        names = sorted(file.name for file in folder.iterdir())
        if not names:
            return True
        if not all(_NAME.fullmatch(name) for name in names):
            return False
        first = pydicom.dcmread(folder / names[0], stop_before_pixels=True)
        return bool(first.get("ManufacturerModelName") == WRITTEN_BY)
    except Exception:  # whatever a foreign file makes of the parser: it is none of ours
        return False


def _levels(magnitude: NDArray[np.float32]) -> tuple[str, NDArray[np.uint16]]:
    """The step between grey levels, as the decimal string that is stored, and (frame, y, x) levels in its units."""
    peak = float(magnitude.max())
    slope = f"{peak / _HIGHEST:.9e}" if peak > 0 else "1"
    levels = np.rint(magnitude.astype(np.float64) / float(slope))
    return slope, np.minimum(levels, _HIGHEST).astype("<u2")


def _clock_times(series: ImageSeries, name: str) -> tuple[list[str], list[str]]:
    """Start and centre of each frame as DICOM times of day; shifted together only if one would be before midnight."""
    centres = np.asarray(series.times_s, dtype=np.float64)
    starts = centres - series.frame_duration_s / 2
    shift = max(0.0, -float(starts.min()))
    if float(centres.max()) + shift >= _DAY_S - 1:
        raise InputError(f"{name}: the series lasts longer than a day, which DICOM times cannot tell; export NIfTI.")
    return [_time_of_day(t + shift) for t in starts], [_time_of_day(t + shift) for t in centres]


def _time_of_day(seconds: float) -> str:
    micro = round(seconds * 1e6)
    whole, micro = divmod(micro, 1_000_000)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{micro:06d}"


def _decimals(*values: float) -> Any:
    """Decimal strings, of at most 16 characters as DICOM wants them."""
    from pydicom.valuerep import DS

    numbers = [DS(float(value), auto_format=True) for value in values]
    return numbers[0] if len(numbers) == 1 else numbers


def _common(series: ImageSeries, slope: str) -> dict[str, Any]:
    """Attributes that all frames share, by module."""
    from pydicom.uid import generate_uid

    pixel_y, pixel_x = (float(size) for size in series.pixel_mm)
    _, rows, columns = series.image.shape
    # One window for all frames, as a cine shows them.
    high = float(np.percentile(series.magnitude, 99.9)) or float(series.magnitude.max()) or 1.0
    patient = {
        "PatientName": "",
        "PatientID": f"RESEARCH-{secrets.token_hex(4).upper()}",
        "PatientBirthDate": "",
        "PatientSex": "",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "Nothing but pixels, sizes and times was taken from the scan",
    }
    study = {
        "StudyInstanceUID": generate_uid(prefix=None),
        "StudyDate": "",
        "StudyTime": "",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
    }
    in_series = {
        "Modality": "MR",
        "SeriesInstanceUID": generate_uid(prefix=None),
        "SeriesNumber": SERIES_NUMBER,
        "Laterality": "",
        "SeriesDescription": f"{series.method[:18]}: {RESEARCH_USE}",
        "PatientPosition": "",
        "FrameOfReferenceUID": generate_uid(prefix=None),
        "PositionReferenceIndicator": "",
    }
    equipment = {
        "Manufacturer": WRITTEN_BY,
        "ManufacturerModelName": WRITTEN_BY,
        "SoftwareVersions": __version__,
    }
    corner = np.array([-pixel_x * (columns // 2), -pixel_y * (rows // 2), 0.0])
    if series.plane is not None:
        corner = series.plane.corner_mm((rows, columns), (pixel_y, pixel_x))
    plane = {
        "PixelSpacing": _decimals(pixel_y, pixel_x),
        # Made up: towards the patient's left along a row, to the back down a column, as an axial slice is shown.
        "ImageOrientationPatient": _decimals(
            *((1, 0, 0, 0, 1, 0) if series.plane is None else (*series.plane.along_x, *series.plane.along_y))
        ),
        "ImagePositionPatient": _decimals(*corner),
        "SliceThickness": None,
    }
    image = {
        "ImageType": ["DERIVED", "SECONDARY", "OTHER"],
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "DerivationDescription": f"Reconstructed from undersampled radial k-space by {WRITTEN_BY}. {RESEARCH_USE}",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleIntercept": "0",
        "RescaleSlope": slope,
        "RescaleType": "US",
        "WindowCenter": _decimals(high / 2),
        "WindowWidth": _decimals(high),
        # LINEAR is off by half a unit and forbids widths below one (PS3.3, C.11.2.1.2.1); units here are arbitrary.
        "VOILUTFunction": "LINEAR" if high >= 256 else "LINEAR_EXACT",
    }
    mr = {
        "ScanningSequence": "RM",
        "SequenceVariant": "NONE",
        "ScanOptions": "",
        "MRAcquisitionType": "",
        "RepetitionTime": None,
        "EchoTime": None,
        "EchoTrainLength": None,
        "NumberOfTemporalPositions": series.n_frames,
        "TemporalResolution": _decimals(1000 * series.frame_step_s),
    }
    return {"SOPClassUID": _MR_IMAGE} | patient | study | in_series | equipment | plane | image | mr


def _frame(
    common: dict[str, Any],
    levels: NDArray[np.uint16],
    index: int,
    times: tuple[str, str],
    series: ImageSeries,
    cardiac: bool,
) -> Dataset:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    frame = Dataset()
    frame.update(_elements(common))
    comment = RESEARCH_USE if series.plane is not None else f"{RESEARCH_USE} Orientation made up."
    if series.interpolated[index]:
        comment += " Interpolated: no k-space was measured for this frame."
    own = {
        "SOPInstanceUID": generate_uid(prefix=None),
        "InstanceNumber": index + 1,
        "AcquisitionNumber": index + 1,
        "AcquisitionTime": times[0],
        "ContentDate": "",
        "ContentTime": times[1],
        "TemporalPositionIdentifier": index + 1,
        "ImageComments": comment,
    }
    if cardiac:
        own["ScanOptions"] = "CG"
        own["TriggerTime"] = _decimals(1000 * (series.times_s[index] - series.times_s[0]))
    frame.update(_elements(own))
    frame.add_new("PixelData", "OW", levels.tobytes() + b"\0" * (levels.nbytes % 2))
    frame.file_meta = FileMetaDataset()
    frame.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return frame


def _elements(values: dict[str, Any]) -> Dataset:
    from pydicom.dataset import Dataset

    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset
