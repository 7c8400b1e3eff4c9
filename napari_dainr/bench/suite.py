"""What is benchmarked: data with truth, noisy reference and regions; built-in phantoms; suite files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dainr.errors import InputError, reason_of

__all__ = [
    "STUDIES",
    "DataItem",
    "MethodChoice",
    "StudyChoice",
    "Suite",
    "load_suite",
    "make_items",
    "method_choice",
    "suite_of",
]

StudyName = Literal["methods", "lambda", "bart", "spatial", "temporal", "encoders", "extractors", "sensitivity"]
STUDIES: tuple[str, ...] = get_args(StudyName)
"""Every study, in the order of the report."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodEntry(_Strict):
    """A method with settings of its own."""

    method: str
    preset: str = "fast"
    settings: dict[str, Any] = {}
    label: str | None = None


class RoiEntry(_Strict):
    """A square of ``size`` × ``size`` pixels around (y, x), of the truth's matrix."""

    y: int = Field(ge=0)
    x: int = Field(ge=0)
    size: int = Field(9, ge=1)


class DataEntry(_Strict):
    """A data set of a suite file; paths are relative to that file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    file: str | None = None
    truth: str | None = None
    reference: str | None = None
    rois: dict[str, RoiEntry | str] = {}
    spokes_per_frame: int | None = Field(None, ge=1)
    phantom: Literal["cine", "liver"] | None = None
    matrix: int = Field(96, ge=16, le=512)
    frames: int = Field(15, ge=2, le=500)
    coils: int = Field(8, ge=1, le=64)
    snr: float = Field(30.0, gt=0)
    noisy_frames: float = Field(0.0, ge=0, le=1)
    methods: list[str | MethodEntry] | None = None
    budget: float | None = Field(None, gt=0)


class StudyEntry(_Strict):
    """On which data a study runs, with which methods; empty: all of them."""

    data: list[str] | None = None
    methods: list[str | MethodEntry] | None = None
    ratios: list[float] | None = None
    factors: list[float] | None = None
    iterations: int | None = Field(None, ge=1)
    budget: float | None = Field(None, gt=0)


class SuiteFile(_Strict):
    """A suite: data sets, and what is done with them."""

    data: list[DataEntry] = Field(min_length=1)
    methods: list[str | MethodEntry] | None = None
    studies: dict[StudyName, StudyEntry] = {}
    budget: float | None = Field(None, gt=0)
    seeds: int = Field(1, ge=1)


@dataclass(frozen=True)
class MethodChoice:
    """A method, its preset and settings, and what it is called in the report."""

    method: str
    preset: str = "fast"
    settings: dict[str, Any] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, eq=False)
class DataItem:
    """A data set on disk, ready to be benchmarked.

    Parameters
    ----------
    name, title
        For folders, and for people.
    path
        k-space file.
    spokes_per_frame
        Consecutive spokes that make one frame.
    truth, reference : (frame, y, x) or None
        Clean truth, and what a fully sampled but noisy scan shows.
    rois : dict of (y, x) bool
        Regions whose curves are compared.
    methods
        Methods of this data set in the study of all methods; None: those of the suite.
    budget_s
        Seconds that a fit to this data set may take; None: as everywhere.
    """

    name: str
    title: str
    path: Path
    digest: str
    spokes_per_frame: int
    truth: NDArray[np.floating] | None = None
    reference: NDArray[np.floating] | None = None
    rois: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    methods: list[MethodChoice] | None = None
    budget_s: float | None = None

    @property
    def judged_by(self) -> str:
        """Digest of all that a series of this item is scored with."""
        known = hashlib.sha256()
        for array in (self.truth, self.reference, *(self.rois[name] for name in sorted(self.rois))):
            known.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        known.update(" ".join(sorted(self.rois)).encode())
        return known.hexdigest()


@dataclass(frozen=True)
class StudyChoice:
    """What a study runs on; None: its default."""

    data: list[str] | None = None
    methods: list[MethodChoice] | None = None
    ratios: list[float] | None = None
    factors: list[float] | None = None
    iterations: int | None = None
    budget_s: float | None = None


@dataclass(frozen=True, eq=False)
class Suite:
    """Everything a benchmark is asked to do."""

    entries: list[DataEntry]
    base: Path
    methods: list[MethodChoice] | None
    studies: dict[str, StudyChoice]
    budget_s: float | None
    seeds: int


def method_choice(given: str | MethodEntry) -> MethodChoice:
    """A method of a flag or a suite file: ``dainr``, ``dainr@paper`` (preset), or an entry with settings.

    Raises
    ------
    InputError
        For an unknown method, preset or setting.
    """
    from napari_dainr.methods.config import TITLES, method_config

    if isinstance(given, str):
        method, _, preset = given.partition("@")
        given = MethodEntry(method=method, preset=preset or "fast")
    method_config(given.method, given.preset, given.settings)
    label = given.label or TITLES[given.method] + (f" ({given.preset})" if given.preset != "fast" else "")
    return MethodChoice(given.method, given.preset, dict(given.settings), label)


def _choices(given: list[str | MethodEntry] | None) -> list[MethodChoice] | None:
    return None if given is None else [method_choice(one) for one in given]


def load_suite(path: Path) -> Suite:
    """Read a suite file (JSON).

    Raises
    ------
    InputError
        One sentence that names file and field.
    """
    try:
        found = SuiteFile.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({reason_of(error)}); give a suite file.") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path.name}: {key}: {first['msg'].lower()}.") from None
    except ValueError:
        raise InputError(f"{path.name}: is not a text file; give a suite file (JSON).") from None
    names = [entry.name for entry in found.data]
    if twin := _twin(names):
        raise InputError(f"{path.name}: two data sets are called {twin!r}; rename one.")
    studies: dict[str, StudyChoice] = {
        name: StudyChoice(one.data, _choices(one.methods), one.ratios, one.factors, one.iterations, one.budget)
        for name, one in found.studies.items()
    }
    for study, choice in studies.items():
        for name in choice.data or ():
            if name not in names:
                raise InputError(f"{path.name}: studies.{study}.data: there is no data set {name!r}; name one of data.")
    return Suite(found.data, path.parent, _choices(found.methods), studies, found.budget, found.seeds)


def _twin(names: list[str]) -> str | None:
    """The first name that is there twice."""
    return next((name for name in names if names.count(name) > 1), None)


def suite_of(given: list[str], spokes_per_frame: int | None = None) -> Suite:
    """A suite from ``--data``: ``cine``, ``liver`` (phantoms), or ``FILE[:TRUTH.npy]``.

    Raises
    ------
    InputError
        For two data sets of one name.
    """
    entries = []
    for one in given:
        if one in ("cine", "liver"):
            entries.append(DataEntry.model_validate({"name": one, "phantom": one}))
            continue
        file, sign, truth = one.rpartition(":") if one.endswith(".npy") else (one, "", "")
        if not sign:
            file, truth = one, ""
        stem = "".join(c if c.isalnum() or c in "_.-" else "_" for c in Path(file).stem).lstrip("_.-") or "data"
        entry: dict[str, Any] = {"name": stem, "file": str(Path(file).resolve()), "spokes_per_frame": spokes_per_frame}
        entries.append(DataEntry.model_validate(entry | ({"truth": str(Path(truth).resolve())} if truth else {})))
    if twin := _twin([entry.name for entry in entries]):
        raise InputError(f"two data sets are called {twin!r}; rename a file, or use a suite file.")
    return Suite(entries, Path(), None, {}, None, 1)


def make_items(suite: Suite, folder: Path) -> list[DataItem]:
    """The data sets of a suite; phantoms are simulated into ``folder`` where they are not there yet.

    Raises
    ------
    InputError
        If a file is missing or does not fit the others.
    """
    return [_phantom_item(entry, folder) if entry.phantom else _file_item(entry, suite.base) for entry in suite.entries]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _array(base: Path, given: str, name: str) -> NDArray[Any]:
    path = base / given
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except OSError as error:
        raise InputError(f"{path.name}: {name}: cannot be read ({reason_of(error)}); give a .npy file.") from None
    except ValueError:
        raise InputError(f"{path.name}: {name}: is not a .npy array; save it with numpy.save.") from None


def _file_item(entry: DataEntry, base: Path) -> DataItem:
    from napari_dainr.io import read_kspace

    if entry.file is None:
        raise InputError(f"{entry.name}: names neither a file nor a phantom; give one of them.")
    path = (base / entry.file).resolve()
    kspace = read_kspace(path)
    spokes = entry.spokes_per_frame or kspace.spokes_per_frame_hint
    if spokes is None:
        raise InputError(
            f"{path.name}: does not say how many spokes make a frame; give spokes_per_frame (flag or suite file)."
        )
    shape = (kspace.n_spokes // spokes, *kspace.matrix)
    arrays: dict[str, NDArray[Any] | None] = {"truth": None, "reference": None}
    for name, given in (("truth", entry.truth), ("reference", entry.reference)):
        if given is None:
            continue
        array = np.abs(_array(base, given, name))
        if array.shape != shape:
            raise InputError(
                f"{Path(given).name}: {name} has shape {array.shape}, but the data makes {shape}; give one that fits."
            )
        arrays[name] = array
    rois = {name: _mask(base, name, roi, kspace.matrix) for name, roi in entry.rois.items()}
    title = f"{entry.name} ({shape[0]} × {shape[1]} × {shape[2]}, {spokes} spokes)"
    return DataItem(
        entry.name,
        title,
        path,
        _file_digest(path),
        spokes,
        arrays["truth"],
        arrays["reference"],
        rois,
        _choices(entry.methods),
        entry.budget,
    )


def _mask(base: Path, name: str, roi: RoiEntry | str, matrix: tuple[int, int]) -> NDArray[np.bool_]:
    if isinstance(roi, str):
        mask = np.asarray(_array(base, roi, f"roi {name}"), dtype=bool)
        if mask.shape != matrix or not mask.any():
            raise InputError(f"{Path(roi).name}: roi {name} must be a mask of {matrix} with at least one pixel.")
        return mask
    mask = np.zeros(matrix, dtype=bool)
    low_y, low_x = roi.y - roi.size // 2, roi.x - roi.size // 2
    if min(low_y, low_x) < 0 or low_y + roi.size > matrix[0] or low_x + roi.size > matrix[1]:
        raise InputError(
            f"roi {name}: {roi.size} pixels around ({roi.y}, {roi.x}) leave the image of {matrix}; move it."
        )
    mask[low_y : low_y + roi.size, low_x : low_x + roi.size] = True
    return mask


def _phantom_item(entry: DataEntry, folder: Path) -> DataItem:
    """Simulate a phantom: drawn 1.5 times finer than it is reconstructed, exact Fourier sums, independent noise.

    With ``noisy_frames`` the frames themselves are noisy before they are sampled, as where a fully sampled scan is
    undersampled afterwards (the paper's cine): its standard deviation per component, as a fraction of the maximum, at
    the matrix. The noisy frames are then the reference, the frames without noise the truth.
    """
    from napari_dainr.io.atomic import write_text
    from napari_dainr.io.ismrmrd import write_ismrmrd
    from napari_dainr.phantom import band_limit, cine_phantom, liver_phantom, simulate_kspace

    spokes = entry.spokes_per_frame or (13 if entry.phantom == "cine" else 21)
    facts = entry.model_dump(exclude={"methods", "budget", "rois", "file", "truth", "reference"}) | {
        "spokes_per_frame": spokes,
        "version": 1,
    }
    tag = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{entry.name}-{tag}.h5"
    matrix, fine = (entry.matrix,) * 2, (-(-entry.matrix * 3 // 2),) * 2
    rois: dict[str, NDArray[np.bool_]] = {}
    if entry.phantom == "cine":
        image, tr_s, fov = cine_phantom(fine, entry.frames), 0.0046, 300.0
    else:
        image, tr_s, fov = liver_phantom(fine, entry.frames)[0], 0.11, 380.0
        masks = liver_phantom((entry.matrix, entry.matrix), entry.frames)[1]
        rois = {name: mask for name, mask in masks.items() if mask.any()}
    clean = np.abs(band_limit(image, (entry.matrix, entry.matrix)))
    reference = None
    if entry.noisy_frames:
        # White on the fine grid; the share that the matrix keeps has fine/matrix times less deviation.
        deviation = entry.noisy_frames * clean.max() * fine[0] / entry.matrix
        noise = np.random.default_rng([0, 11]).standard_normal((*image.shape, 2)) * deviation
        image = (image + (noise[..., 0] + 1j * noise[..., 1])).astype(np.complex64)
        reference = np.abs(band_limit(image, (entry.matrix, entry.matrix)))
    if not (folder / f"{path.stem}.done").exists():
        kspace = simulate_kspace(
            image, spokes_per_frame=spokes, n_coils=entry.coils, tr_s=tr_s, fov_mm=fov, snr=entry.snr, seed=0,
            name=entry.name, matrix=(matrix[0], matrix[1]),
        )  # fmt: skip
        write_ismrmrd(kspace, path)
        write_text(folder / f"{path.stem}.done", "simulated\n")
    title = f"{entry.name} ({entry.phantom} phantom, {entry.frames} × {entry.matrix} × {entry.matrix}, {spokes} spokes)"
    return DataItem(
        entry.name,
        title,
        path,
        _file_digest(path),
        spokes,
        clean,
        reference,
        rois,
        _choices(entry.methods),
        entry.budget,
    )
