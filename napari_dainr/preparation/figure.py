"""The quality panel as one matplotlib figure; the command line writes it and the viewer shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import KSpace
from napari_dainr.preparation.quality import Quality

__all__ = ["quality_figure"]

_BLUE, _RED, _GREY = "#2b6cb0", "#c53030", "0.35"


def quality_figure(kspace: KSpace, found: Quality, csm: NDArray[np.complexfloating] | None = None) -> Any:
    """Draw what :func:`napari_dainr.preparation.quality.quality` found.

    Parameters
    ----------
    csm : (coil, y, x) complex or None
        Coil maps to show.

    Returns
    -------
    matplotlib.figure.Figure
        Without a canvas of a screen; 12 × 8 inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 3, height_ratios=[1, 1, 0.85 if csm is None else 1.1])
    _angles(figure.add_subplot(grid[0, 0]), found)
    _brightness(figure.add_subplot(grid[0, 1:]), kspace, found)
    _coils(figure.add_subplot(grid[1, 0]), found)
    _profile(figure.add_subplot(grid[1, 1]), found)
    _delays(figure.add_subplot(grid[1, 2]), found)
    words = figure.add_subplot(grid[2, :] if csm is None else grid[2, 0])
    _words(words, kspace, found, 0.17 if csm is None else 0.5)
    if csm is not None:
        _maps(figure.add_subplot(grid[2, 1:]), csm)
    figure.suptitle(f"Quality of k-space: {kspace.name}", fontsize=12)
    figure.supxlabel(RESEARCH_USE, fontsize=8, color="0.25")
    return figure


def _dress(axis: Any, title: str, x: str, y: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=8)


def _angles(axis: Any, found: Quality) -> None:
    axis.hist(found.angles_deg, bins=36, range=(0, 180), color=_BLUE)
    axis.set_xticks(range(0, 181, 45))
    _dress(axis, f"Directions; largest gap {found.largest_gap_deg:.2f}°", "angle of the spoke (°)", "spokes")


def _brightness(axis: Any, kspace: KSpace, found: Quality) -> None:
    times = kspace.spoke_times_s
    axis.plot(times, found.brightness, color=_BLUE, lw=0.8)
    unusual = list(found.unusual_spokes)
    if unusual:
        axis.plot(times[unusual], found.brightness[unusual], "o", color=_RED, ms=5, label="unusual")
        axis.legend(fontsize=8, loc="upper right")
    axis.set_ylim(0, 1.1 * float(found.brightness.max()))
    _dress(axis, f"Peak of each spoke; {len(unusual)} unusual", "time (s)", "peak over the median")


def _coils(axis: Any, found: Quality) -> None:
    number = np.arange(len(found.coil_energy))
    colours = [_RED if coil in found.streaky_coils else _BLUE for coil in number]
    axis.bar(number, 100 * found.coil_energy, color=colours)
    other = axis.twinx()
    other.plot(number, found.streak_ratio, "k.", ms=5)
    other.set_ylabel("streak ratio (dots)", fontsize=8)
    other.set_ylim(0, 1.1 * float(found.streak_ratio.max()))
    other.tick_params(labelsize=8)
    axis.xaxis.get_major_locator().set_params(integer=True)
    _dress(axis, f"Coils; {len(found.streaky_coils)} streak-prone (red)", "coil", "energy (%)")


def _profile(axis: Any, found: Quality) -> None:
    sample = np.arange(len(found.profile))
    axis.semilogy(sample, np.maximum(found.profile, 1e-6 * max(float(found.profile.max()), 1e-30)), color=_BLUE, lw=1)
    axis.axhline(
        max(float(np.sqrt((found.coil_noise**2).sum())), 1e-30), color=_GREY, ls="--", lw=0.8, label="noise, at most"
    )
    title = "Along the spokes"
    if found.centre is not None:
        axis.axvline(found.centre.sample, color=_RED, lw=0.8, label=f"centre {found.centre.sample:.2f}")
        title += f"; centre over noise {found.signal_to_noise:.0f}"
    axis.legend(fontsize=8)
    _dress(axis, title, "sample", "median magnitude")


def _delays(axis: Any, found: Quality) -> None:
    turn = np.linspace(0, 2 * np.pi, 181)
    title = "Gradient delays: not measurable"
    if found.delays is not None:
        shift = np.stack([np.sin(turn), np.cos(turn)], axis=-1) @ found.delays.matrix
        axis.plot(shift[:, 1], shift[:, 0], color=_BLUE)
        title = f"Delays (RING): up to {found.delays.largest:.3f}"
    reach = max(0.1, 1.2 * found.delays.largest if found.delays is not None else 0.1)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(reach, -reach)
    axis.set_aspect("equal")
    axis.axhline(0, color=_GREY, lw=0.5)
    axis.axvline(0, color=_GREY, lw=0.5)
    _dress(axis, title, "along kx (samples)", "along ky (samples)")


def _words(axis: Any, kspace: KSpace, found: Quality, split: float) -> None:
    rows = [
        ("slices, coils", f"{kspace.n_slices}, {kspace.n_coils}"),
        ("spokes × samples", f"{kspace.n_spokes} × {kspace.n_readout}"),
    ]
    rows += found.rows()
    axis.axis("off")
    for line, (name, value) in enumerate(rows):
        height = 1.0 - line / len(rows)
        axis.text(0.0, height, name, fontsize=8, va="top", transform=axis.transAxes, color=_GREY)
        axis.text(split, height, value, fontsize=8, va="top", transform=axis.transAxes)


def _maps(axis: Any, csm: NDArray[np.complexfloating]) -> None:
    """Magnitudes of the maps side by side, at most 16 of them in two rows."""
    shown = np.abs(csm[:16])
    columns = -(-len(shown) // 2) if len(shown) > 4 else len(shown)
    rows = -(-len(shown) // columns)
    tiles = np.zeros((rows * columns, *shown.shape[1:]))
    tiles[: len(shown)] = shown
    height, width = shown.shape[1:]
    sheet = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    axis.imshow(sheet, cmap="gray", vmin=0)
    axis.set_xticks([])
    axis.set_yticks([])
    more = f", the first {len(shown)} of {len(csm)}" if len(csm) > len(shown) else ""
    axis.set_title(f"Magnitude of the coil maps{more}", fontsize=10, loc="left")
