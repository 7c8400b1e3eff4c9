"""Thirty planted identifiers in each raw format: none of them is in any output, log or message of the commands."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.cli import main

from . import mrd2_writer, seq_writer, twix_writer

CANARIES = [f"CANARY{number:02d}x" for number in range(30)]
COILS, SPOKES, SAMPLES = 2, 20, 32


def _kdata() -> Any:
    rng = np.random.default_rng(9)
    shape = (COILS, SPOKES, SAMPLES)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def _twix(path: Path, modern: bool) -> list[str]:
    """Where a scanner writes who was scanned, by whom, where and when."""
    texts = [
        "tPatientName",
        "tPatientID",
        "PatientID",
        "PatientName",
        "PatientBirthDay",
        "tPatientsName",
        "tPerfPhysiciansName",
        "InstitutionName",
        "InstitutionAddress",
        "DeviceSerialNumber",
        "tStudyDescription",
        "tReferringPhysician",
        "tOperator",
        "StudyUID",
        "SeriesUID",
        "FrameOfReference",
        "ManufacturersModelName",
    ]
    names = iter(CANARIES)
    config = "<XProtocol>\n{\n" + "".join(f'<ParamString."{text}"> {{ "{next(names)}" }}\n' for text in texts)
    config += f'<ParamDouble."flPatientWeight"> {{ <Precision> 6 {next(names)} }}\n}}\n'
    protocol = {
        "alTR[0]": "5000",
        "sKSpace.lBaseResolution": "16",
        "sKSpace.ucTrajectory": "2",
        "sSliceArray.asSlice[0].dReadoutFOV": "320",
        "tProtocolName": f'""{next(names)}""',
        "tSequenceFileName": f'""%CustomerSeq%\\{next(names)}""',
        "tReferenceImage0": f'""1.3.12.2.{next(names)}""',
        "sProtConsistencyInfo.tBaselineString": f'""{next(names)}""',
        "sWiPMemBlock.tFree": f'""{next(names)}""',
        "asCoilSelectMeas[0].asList[0].sCoilElementID.tCoilID": f'""{next(names)}""',
    }
    data = _kdata()
    lines = [twix_writer.Line(data[:, i], 2 * i, counters={"line": i}) for i in range(SPOKES)]
    measurement = twix_writer.Measurement(
        lines, protocol, config, patient=next(names).encode(), name=next(names).encode()
    )
    twix_writer.write(path, measurement, modern=modern)
    path.write_bytes(path.read_bytes() + " ".join(CANARIES).encode())
    return []


def _mrd2(path: Path) -> list[str]:
    import mrd

    c = iter(CANARIES)
    head = mrd2_writer.header(
        system_vendor=next(c),
        system_model=next(c),
        institution_name=next(c),
        station_name=next(c),
        device_id=next(c),
        device_serial_number=next(c),
        coil_label=[mrd.CoilLabelType(coil_number=0, coil_name=next(c))],
    )
    head.subject_information = mrd.SubjectInformationType(patient_name=next(c), patient_id=next(c))
    head.study_information = mrd.StudyInformationType(
        study_id=next(c), referring_physician_name=next(c), study_description=next(c), study_instance_uid=next(c)
    )
    head.measurement_information = mrd.MeasurementInformationType(
        measurement_id=next(c),
        protocol_name=next(c),
        sequence_name=next(c),
        series_description=next(c),
        series_instance_uid_root=next(c),
        frame_of_reference_uid=next(c),
    )
    head.sequence_parameters.sequence_type = next(c)
    head.encoding[0].trajectory_description = mrd.TrajectoryDescriptionType(identifier=next(c), comment=next(c))
    head.user_parameters = mrd.UserParametersType(
        user_parameter_string=[
            mrd.UserParameterStringType(name=name, value=value) for name, value in zip(c, c, strict=False)
        ]
    )
    data = _kdata()
    mrd2_writer.write(path, [mrd2_writer.acquisition(data[:, i], 2 * i) for i in range(SPOKES)], head)
    return []


def _seq(path: Path) -> list[str]:
    """A Siemens file with a sequence beside it whose definitions and signature tell all."""
    sequence = seq_writer.write(path.with_suffix(".seq"), np.arange(SPOKES) * 9.0, SAMPLES, 0.32)
    text = sequence.read_text()
    planted = "".join(f"{name}_Key {name}\n" for name in CANARIES)
    sequence.write_text(text.replace("[DEFINITIONS]\n", f"[DEFINITIONS]\n{planted}"))
    data = _kdata()
    lines = [twix_writer.Line(data[:, i], 2 * i, counters={"line": i}) for i in range(SPOKES)]
    twix_writer.write(path, twix_writer.Measurement(lines, {}))
    return ["--trajectory-file", str(sequence)]


PLANTERS: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "twix VE": ("scan.dat", lambda path: _twix(path, True)),
    "twix VB": ("scan.dat", lambda path: _twix(path, False)),
    "mrd2": ("scan.mrd", _mrd2),
    "seq": ("scan.dat", _seq),
}


def _content(folder: Path) -> bytes:
    """All bytes below a folder, and what is inside compressed files."""
    content = b""
    for file in sorted(folder.rglob("*")):
        content += str(file.relative_to(folder)).encode()
        if file.is_file():
            content += file.read_bytes()
            if file.suffix == ".gz":
                content += gzip.decompress(file.read_bytes())
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    content += b"".join(archive.read(name) for name in archive.namelist())
    return content


@pytest.mark.filterwarnings("ignore")  # pypulseq warns of its own defaults
@pytest.mark.parametrize("name", PLANTERS)
def test_no_identity_comes_through(
    name: str, tmp_path: Path, one_child: object, capfd: pytest.CaptureFixture[str]
) -> None:
    file, plant = PLANTERS[name]
    if name in ("mrd2", "seq"):
        pytest.importorskip("mrd" if name == "mrd2" else "pypulseq")
    private, out = tmp_path / CANARIES[0], tmp_path / "out"
    private.mkdir()
    out.mkdir()
    options = plant(private / file)
    planted = b"".join(path.read_bytes() for path in private.iterdir())
    assert all(canary.encode() in planted for canary in CANARIES[1:])
    capfd.readouterr()
    assert main(["info", str(private / file), *options]) == 0
    run = ["recon", str(private / file), "--method", "nufft", "--spokes-per-frame", "10", "-o", str(out / "run")]
    assert main([*run, *options]) == 0
    for suffix in (".npy", ".npz", ".nii.gz", ".tif", ".gif", ".h5"):
        assert main(["export", str(out / "run"), str(out / f"series{suffix}")]) == 0
    # The user's own recipe names the user's own files, so that it can be run again; nothing else does.
    (out / "run" / "recipe.json").unlink()
    assert main(["info", str(private / file), "--matrix", "1,1", *options]) == 2
    said = "".join(capfd.readouterr()).encode() + _content(out)
    assert not [canary for canary in CANARIES if canary.encode() in said]
