"""Labels of axes are whole at any height of the plot."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_dainr.analysis.curves import MODES
from napari_dainr.analysis.phases import Phase
from napari_dainr.gui.curves.artists import CurveArtists


@pytest.mark.parametrize("label", list(MODES.values()))
@pytest.mark.parametrize("height", [110, 130, 180, 260, 500])
def test_the_axis_of_values_has_room_for_its_label(label: str, height: int) -> None:
    figure = Figure(figsize=(7, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    artists = CurveArtists(figure.add_subplot())
    artists.set_colours("#ffffff", "#000000")
    artists.lay_out(("time (s)", label), [("DA-INR", "-")], [Phase("Early arterial", 0.1, 0.9)], (700, height))
    canvas.draw()
    box = artists.axes.yaxis.label.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= height
    assert artists.axes.get_ylabel() == label or height < 260
