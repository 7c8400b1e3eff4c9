"""What a run will take, told before it starts: seconds, memory, and a way out where it does not fit.

No torch in this file, so that a form can hold a forecast; the measuring is in probe.py and loads it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from napari_dainr.data import KSpace
from napari_dainr.machine import available_memory, memory_text
from napari_dainr.recipe import Recipe

__all__ = ["Forecast", "forecast", "shortage"]

ROOM = 0.9
"""What a run may take of the memory that is free: the rest is for the viewer and for what the forecast misses."""


PLENTY = 2 << 30
"""Bytes that networks and libraries take at most, however small the data."""


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Parameters
    ----------
    seconds
        From the start, with the data read, to the saved result, without previews.
    memory_bytes
        What the run adds at its peak to what the process holds already; of the GPU where the recipe means one.
    available_bytes
        What the process may still take.
    parts
        Seconds by part: preparation, each stage of the method, drawing, saving.
    advice
        Where the memory is not enough: one sentence with settings that by the same forecast do fit; else None.
    """

    seconds: float
    memory_bytes: int
    available_bytes: int
    parts: dict[str, float]
    advice: str | None

    @property
    def fits(self) -> bool:
        """Whether the memory is enough."""
        return self.memory_bytes <= ROOM * self.available_bytes


def forecast(recipe: Recipe, kspace: KSpace, stop: threading.Event | None = None) -> Forecast:
    """Seconds and memory of a run on this machine; takes a second or two, so not in a thread that draws windows.

    Parts of the run are really carried out on a few frames and measured; see docs/adr/0011-forecast.md.

    Parameters
    ----------
    stop
        When set, the forecast ends after the piece in hand.

    Raises
    ------
    DainrError
        If it was stopped.
    InputError
        If the recipe cannot be carried out.
    ResourceError
        If its device is not there, or memory does not even suffice to measure.
    """
    from napari_dainr.engine import resolved
    from napari_dainr.probe import probe

    recipe = resolved(recipe)
    cost = probe(recipe, kspace, stop=stop)
    available = available_memory(recipe.device)
    whole = Forecast(sum(cost.seconds.values()), cost.memory_bytes, available, cost.seconds, None)
    if whole.fits:
        return whole
    return Forecast(whole.seconds, whole.memory_bytes, available, whole.parts, _advice(recipe, kspace, whole, stop))


def shortage(recipe: Recipe, kspace: KSpace) -> str | None:
    """The advice of a forecast where the memory is not enough, else None; at once where there is plenty.

    Raises
    ------
    InputError, ResourceError
        As :func:`forecast`.
    """
    from napari_dainr.engine import resolved
    from napari_dainr.probe import probe

    recipe = resolved(recipe)
    available = available_memory(recipe.device)
    # More than any method holds: a dozen copies of the samples and of the images of all coils.
    pixels = kspace.matrix[0] * kspace.matrix[1] * max(1.0, recipe.scale) ** 2 * recipe.upsample
    frames = kspace.n_spokes / recipe.spokes_per_frame
    numbers = kspace.n_coils * (kspace.n_spokes * kspace.n_readout + frames * pixels)
    if 12 * 8 * numbers + PLENTY < available:
        return None
    memory = probe(recipe, kspace, seconds=False).memory_bytes
    whole = Forecast(0.0, memory, available, {}, None)
    return None if whole.fits else _advice(recipe, kspace, whole)


def _advice(recipe: Recipe, kspace: KSpace, whole: Forecast, stop: threading.Event | None = None) -> str:
    """The smallest change found that fits by the same forecast."""
    from napari_dainr.probe import probe

    need = f"The run needs about {memory_text(whole.memory_bytes)}, but {memory_text(whole.available_bytes)} are free"
    for changes, words in _ways_out(recipe, kspace):
        other = recipe.model_copy(update=changes)
        available = available_memory(other.device)
        memory = probe(other, kspace, seconds=False, stop=stop).memory_bytes
        if memory <= ROOM * available:
            return f"{need}; {words} needs about {memory_text(memory)}."
    return f"{need}; use a machine with more memory, or cut the data into shorter series."


def _ways_out(recipe: Recipe, kspace: KSpace) -> Iterator[tuple[dict[str, object], str]]:
    """(changed fields of the recipe, what to do in words), those that cost least first."""
    if recipe.upsample > 1 or recipe.scale > 1:
        yield {"scale": 1.0, "upsample": 1}, "drawing at scale 1 and upsampling 1 (and more later, with render)"
    for coils in (8, 6, 4):
        if coils < min(kspace.n_coils, recipe.coils or kspace.n_coils):
            yield {"coils": coils, "scale": 1.0, "upsample": 1}, f"{coils} virtual coils, drawn at scale 1"
    if recipe.device.startswith("cuda"):
        yield {"device": "cpu"}, "the CPU (device cpu)"
    for factor in (2, 4):
        spokes = recipe.spokes_per_frame * factor
        if spokes <= kspace.n_spokes:
            coils = min(6, kspace.n_coils)
            words = f"{spokes} spokes per frame, {coils} virtual coils, drawn at scale 1"
            yield {"spokes_per_frame": spokes, "coils": coils, "scale": 1.0, "upsample": 1}, words
