"""Thirty planted identifiers in each raw format: none of them is in any output, log or message of the commands."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from napari_dainr.cli import main

from . import mrd2_writer, seq_writer, twix_writer
from .array_writers import radial_scan, write_cfl
from .sound_files import HEADER

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


def _npz(path: Path) -> list[str]:
    """In names of arrays and of members, in texts, and in the comment of the archive."""
    kdata, ktraj = radial_scan()
    texts = {name: np.array(f"{name} {name}") for name in CANARIES[1:15]}
    np.savez(path, **{CANARIES[15]: kdata, CANARIES[16]: ktraj}, **texts)  # type: ignore[arg-type]
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = " ".join(CANARIES).encode()
        archive.writestr(f"{CANARIES[17]}.txt", " ".join(CANARIES))
    return _variables(CANARIES[15], CANARIES[16])


def _variables(kdata: str, ktraj: str) -> list[str]:
    told = f"kdata={kdata},ktraj={ktraj},axes=coil/spoke/readout"
    return ["--variables", told, "--trajectory-unit", "cycles per field of view"]


def _fill_hdf5(file: h5py.File, names: list[str]) -> None:
    """Attributes of the file, of groups and of arrays; groups, texts and links of telling names."""
    for name in names:
        file.attrs[name] = name
        group = file.create_group(name)
        group.attrs[name] = " ".join(CANARIES)
        group["text"] = f"{name} {name}"
        group[name] = h5py.SoftLink(f"/{name}/text")


def _hdf5(path: Path) -> list[str]:
    kdata, ktraj = radial_scan()
    with h5py.File(path, "w") as file:
        _fill_hdf5(file, CANARIES[1:28])
        file[f"{CANARIES[28]}/samples"], file[f"{CANARIES[28]}/{CANARIES[29]}"] = kdata, ktraj[..., ::-1]
        file[f"{CANARIES[28]}/samples"].attrs["patient"] = " ".join(CANARIES)
    return _variables(f"{CANARIES[28]}/samples", f"{CANARIES[28]}/{CANARIES[29]}")


def _fastmri(path: Path) -> list[str]:
    """The data set's own attributes and header, filled as a careless site would."""
    rng = np.random.default_rng(7)
    planes = rng.standard_normal((1, 2, 16, 9)) + 1j * rng.standard_normal((1, 2, 16, 9))
    subject = f"<subjectInformation><patientName>{CANARIES[1]}</patientName><patientID>{CANARIES[2]}</patientID>"
    with h5py.File(path, "w") as file:
        _fill_hdf5(file, CANARIES[3:])
        file["kspace"] = planes.astype(np.complex64)
        file["kspace"].attrs["patient_id"] = " ".join(CANARIES)
        file["ismrmrd_header"] = HEADER.replace("<experimentalC", f"{subject}</subjectInformation><experimentalC", 1)
        file.attrs["patient_id"] = " ".join(CANARIES)
    return ["--radial-spokes", "13"]


def _matlab5(path: Path, zipped: bool) -> list[str]:
    """The text at the start, names of variables and of fields, texts and cells."""
    kdata, ktraj = radial_scan()
    values: dict[str, Any] = {name: f"{name} {name}" for name in CANARIES[1:20]}
    values["info"] = {name: name for name in CANARIES[20:]}
    values["cells"] = np.array([[" ".join(CANARIES), 1.0]], dtype=object)
    savemat(path, values | {CANARIES[28]: kdata, CANARIES[29]: ktraj[..., ::-1]}, do_compression=zipped)
    whole = bytearray(path.read_bytes())
    whole[20:110] = " ".join(CANARIES).encode()[:90]
    path.write_bytes(whole)
    return _variables(CANARIES[28], CANARIES[29])


def _matlab73(path: Path) -> list[str]:
    kdata, ktraj = radial_scan()
    with h5py.File(path, "w", userblock_size=512) as file:
        _fill_hdf5(file, CANARIES[1:28])
        for name, value in ((CANARIES[28], kdata), (CANARIES[29], ktraj[..., ::-1])):
            file[name] = value.T
            file[name].attrs["MATLAB_class"] = np.bytes_(CANARIES[3])
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, " + " ".join(CANARIES).encode()[:90].ljust(103) + b"\0\2IM")
        raw.write(" ".join(CANARIES).encode()[:384])
    return _variables(CANARIES[28], CANARIES[29])


def _bart(path: Path) -> list[str]:
    """BART writes the command line and the names of all files into its headers."""
    kdata, ktraj = radial_scan()
    places = np.zeros((3, *ktraj.shape[1::-1]))
    places[:2] = ktraj[..., ::-1].T
    trajectory = path.with_name(f"{CANARIES[1]}.cfl")
    write_cfl(path, kdata.T[None])
    write_cfl(trajectory, places)
    for base in (path, trajectory):
        with base.with_suffix(".hdr").open("a") as header:
            said = " ".join(CANARIES)
            header.write(f"# Command\n{said}\n# Files\n >{said}\n# Creator\n{said}\n# {said}\n")
    return ["--trajectory-file", str(trajectory)]


PLANTERS: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "twix VE": ("scan.dat", lambda path: _twix(path, True)),
    "twix VB": ("scan.dat", lambda path: _twix(path, False)),
    "mrd2": ("scan.mrd", _mrd2),
    "seq": ("scan.dat", _seq),
    "npz": ("scan.npz", _npz),
    "hdf5": ("scan.h5", _hdf5),
    "fastmri": ("scan.h5", _fastmri),
    "mat 5": ("scan.mat", lambda path: _matlab5(path, False)),
    "mat 5 zipped": ("scan.mat", lambda path: _matlab5(path, True)),
    "mat 7.3": ("scan.mat", _matlab73),
    "bart": ("scan.cfl", _bart),
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
    # What is compressed cannot be seen; "mat 5" is written by the same lines.
    assert name == "mat 5 zipped" or all(canary.encode() in planted for canary in CANARIES[1:])
    capfd.readouterr()
    assert main(["info", str(private / file), *options]) == 0
    run = ["recon", str(private / file), "--method", "nufft", "--spokes-per-frame", "6", "-o", str(out / "run")]
    assert main([*run, *options]) == 0
    for suffix in (".npy", ".npz", ".nii.gz", ".tif", ".gif", ".h5"):
        assert main(["export", str(out / "run"), str(out / f"series{suffix}")]) == 0
    # The user's own recipe names the user's own files, so that it can be run again; nothing else does.
    (out / "run" / "recipe.json").unlink()
    assert main(["info", str(private / file), "--matrix", "1,1", *options]) == 2
    said = "".join(capfd.readouterr()).encode() + _content(out)
    assert not [canary for canary in CANARIES if canary.encode() in said]
