"""What a user can say about a raw file."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dainr.errors import InputError

__all__ = ["ImportOptions", "forms_of", "options_from", "value_of"]


class ImportOptions(BaseModel):
    """What the user says about a raw file; every field left empty is found out. Stored in the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = Field(None, description="Name or number of the data set, where a file holds several.")
    contrast: int | None = Field(None, ge=0, description="Number of the echo, where the file holds several, from 0.")
    set_number: int | None = Field(
        None, ge=0, title="set", description="Number of the set, where the file holds several, from 0."
    )
    variables: dict[str, str] = Field(
        default_factory=dict,
        description="Role → name of the variable, for files without a fixed layout; "
        "roles: kdata, ktraj, csm, dcf, times_s, noise, and axes (in the file's order, e.g. axes=coil/spoke/readout).",
    )
    matrix: tuple[int, int] | None = Field(None, title="matrix (y, x)", description="Pixels of the reconstruction.")
    fov_mm: tuple[float, float] | None = Field(
        None, title="field of view (y, x)", description="Of the reconstruction, millimetres."
    )
    tr_ms: float | None = Field(None, gt=0, title="TR", description="Time from one spoke to the next, milliseconds.")
    oversampling: float | None = Field(
        None, ge=1, le=8, description="Field of view of the readout over that of the reconstruction."
    )
    centre_sample: float | None = Field(
        None, ge=0, title="centre sample", description="Sample of a spoke at the k-space centre, from 0; may be half."
    )
    trajectory_file: str | None = Field(
        None, title="trajectory file", description="Pulseq sequence (.seq) or BART trajectory (.cfl) of the data."
    )
    trajectory_unit: str | None = Field(None, title="trajectory unit", description="Unit of the stored trajectory.")
    radial_spokes: int | None = Field(
        None,
        ge=1,
        le=10000,
        title="radial spokes",
        description="Golden-angle spokes to sample from each frame of a fully sampled Cartesian cine.",
    )
    angles: Literal["auto", "file", "golden", "tiny-golden", "uniform"] = Field(
        "auto", description="Rule of the spoke angles; auto: the file's trajectory, else what fits the data best."
    )
    tiny_number: int = Field(7, ge=2, le=50, title="tiny golden N", description="N of the tiny golden angle.")
    full_circle: bool | None = Field(
        None, title="full circle", description="Angles step through 360° (the 2π variant) rather than through 180°."
    )
    first_angle_deg: float | None = Field(None, title="first angle", description="Angle of the first spoke, degrees.")
    reversed: bool | None = Field(None, description="Spokes turn from +kx towards −ky.")
    leave_out_coils: tuple[int, ...] = Field(
        (), title="leave out coils", description="Coils to leave out, from 0, besides those found dead or not finite."
    )
    leave_out_spokes: tuple[int, ...] = Field(
        (), title="leave out spokes", description="Spokes to leave out, from 0, besides those found dead or struck."
    )
    keep_all: bool = Field(
        False, title="keep all", description="Look for no bad coils and spokes; only what is named is left out."
    )
    delays: Literal["off", "ring"] = Field(
        "off", title="gradient delays", description="Correct the trajectory by RING, or use it as it is."
    )
    weighted: bool | None = Field(
        None, description="Samples were multiplied with the root of the density compensation (GRASP demonstration)."
    )
    prewhiten: bool = Field(True, description="Make the noise of the coils white, where the file holds a noise scan.")

    def shareable(self) -> dict[str, Any]:
        """What results may carry: only what differs from the defaults, and no path or name that the user chose."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"dataset", "variables", "trajectory_file"})


def forms_of(name: str) -> tuple[Any, ...]:
    """What a field may be besides empty: types, or one Literal with its choices."""
    annotation = ImportOptions.model_fields[name].annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(part for part in typing.get_args(annotation) if part is not type(None))
    return (annotation,)


def value_of(name: str, text: str) -> Any:
    """What typed text means for a field, for the model to check; raises InputError where it has not the right form."""
    origin = typing.get_origin(forms_of(name)[0])
    if origin is dict:
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        if not all(sign for _, sign, _ in pairs):
            raise InputError(f"{name.replace('_', ' ')} is {text!r}: write role=name, with commas between several.")
        return {role.strip(): value.strip() for role, _, value in pairs}
    if origin in (tuple, list):
        return [part for part in re.split(r"[\s,;x×]+", text.strip()) if part]
    return text.strip()


def options_from(values: Mapping[str, Any], source: str = "command line") -> ImportOptions:
    """Checked options; raises InputError naming the field."""
    try:
        return ImportOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "import"
        raise InputError(f"{source}: {key} is {first['input']!r}: {first['msg'].lower()}.") from None
