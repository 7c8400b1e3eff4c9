"""How a cine is drawn and how fast it plays: the one table behind the command line's flags and the dock's form."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_dainr.errors import InputError

__all__ = ["CineOptions", "cine_options"]


class CineOptions(BaseModel):
    """Options of an exported cine. Without ``fps`` and ``cycle_s`` it plays at true speed times ``speed``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    fps: float | None = Field(
        None,
        gt=0,
        title="frames per second",
        description="Frames shown per second; empty: true speed.",
        json_schema_extra={"unit": "1/s"},
    )
    cycle_s: float | None = Field(
        None,
        gt=0,
        title="seconds per cycle",
        description="Time from the first frame to the first frame again; instead of frames per second.",
        json_schema_extra={"unit": "s"},
    )
    speed: float = Field(
        1.0, gt=0, title="speed", description="Factor on the true speed.", json_schema_extra={"unit": "×"}
    )
    loop: int = Field(
        0,
        ge=0,
        le=1000,
        title="cycles",
        description="Times that it plays; 0: a GIF repeats for ever, an MP4 holds one cycle.",
    )
    back_and_forth: bool = Field(
        False, title="back and forth", description="Play forwards, then backwards, in every cycle."
    )
    window: tuple[float, float] | None = Field(
        None,
        title="window",
        description="Values shown black and white; empty: 0 and the 99.9th percentile of all frames.",
    )
    crop: tuple[int, int, int, int] | None = Field(
        None,
        title="crop",
        description="Part of the image: first row, last row + 1, first column, last column + 1; empty: all of it.",
        json_schema_extra={"unit": "pixels"},
    )
    times_s: tuple[float, float] | None = Field(
        None,
        title="times",
        description="First and last time that is shown; empty: all frames.",
        json_schema_extra={"unit": "s"},
    )
    enlarge: int | None = Field(
        None,
        ge=1,
        le=16,
        title="enlarge",
        description="Whole factor on the shorter side of a pixel; empty: so that both sides have 256 pixels or more.",
        json_schema_extra={"unit": "×"},
    )
    interpolation: Literal["nearest", "bilinear", "fourier"] = Field(
        "nearest",
        title="interpolation",
        description="How an enlarged image is filled: the pixels as they are, linear between their centres, or by "
        "its Fourier series. The caption states it.",
    )
    time_stamp: bool = Field(True, title="time stamp", description="Seconds from the first spoke in the caption.")
    frame_number: bool = Field(True, title="frame number", description="Number of the frame in the caption.")
    scale_bar: bool = Field(True, title="scale bar", description="A bar of a round length in millimetres, below.")
    method_name: bool = Field(True, title="method name", description="Name of the method or layer in the caption.")
    regions: bool = Field(True, title="ROI outlines", description="Outlines of the regions, with their names below.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.fps is not None and self.cycle_s is not None:
            raise ValueError("fps and cycle_s are both given; leave one out")
        if (self.fps is not None or self.cycle_s is not None) and self.speed != 1:
            raise ValueError("speed is a factor on the true speed; leave it out where fps or cycle_s is given")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("window must go from a smaller to a larger value")
        if self.times_s is not None and self.times_s[0] > self.times_s[1]:
            raise ValueError("times_s must go from an earlier to a later time")
        return self


def cine_options(name: str, **values: Any) -> CineOptions:
    """Options from values given by the user.

    Parameters
    ----------
    name
        Of the file that will be written; the sentence begins with it.
    values
        Fields of :class:`CineOptions`.

    Raises
    ------
    InputError
        If there is no such option, or one cannot have that value.
    """
    try:
        return CineOptions(**values)
    except ValidationError as error:
        first = error.errors()[0]
        text = str(first["msg"]).removeprefix("Value error, ")
        where = ".".join(str(part) for part in first["loc"][:1])
        if first["type"] == "extra_forbidden":
            raise InputError(f"{name}: {where} is no option of a cine; leave it out.") from None
        if where:
            raise InputError(f"{name}: {where} is {first['input']!r}: {text[0].lower()}{text[1:]}.") from None
        raise InputError(f"{name}: {text}.") from None
