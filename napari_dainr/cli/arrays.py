"""Arrays that a command reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_dainr.errors import InputError, reason_of

__all__ = ["load_npy"]


def load_npy(path: Path) -> Any:
    """The array of a .npy file."""
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({reason_of(error)}); give a .npy file.") from None
    except ValueError:
        raise InputError(f"{path.name}: is not a .npy array; save it with numpy.save.") from None
