"""``python -m napari_dainr.cli``."""

import sys

from napari_dainr.cli import main

if __name__ == "__main__":
    sys.exit(main())
