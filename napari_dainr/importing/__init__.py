"""From what a raw file holds to k-space that can be reconstructed: every decision, made once for all formats.

What the user says comes first, then what the file says, then what the data tell; what is left is assumed. Each finding
stands in ``KSpace.detected`` with its evidence, each guess in ``KSpace.assumed``; none is silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dainr.importing.options import ImportOptions, options_from

if TYPE_CHECKING:
    from napari_dainr.acquired import Acquired
    from napari_dainr.data import KSpace

__all__ = ["ImportOptions", "kspace_of", "options_from"]


def kspace_of(acquired: Acquired, options: ImportOptions | None = None) -> KSpace:
    """Decide what the readouts mean; see :func:`napari_dainr.importing.decide.kspace_of`."""
    # A recipe and a form need the options, but none of the numerical parts behind the decisions.
    from napari_dainr.importing import decide

    return decide.kspace_of(acquired, options)
