"""From what a raw file holds to k-space that can be reconstructed: every decision, made once for all formats.

What the user says comes first, then what the file says, then what the data tell; what is left is assumed. Each finding
stands in ``KSpace.detected`` with its evidence, each guess in ``KSpace.assumed``; none is silent.
"""

from napari_dainr.importing.decide import kspace_of
from napari_dainr.importing.options import ImportOptions, options_from

__all__ = ["ImportOptions", "kspace_of", "options_from"]
