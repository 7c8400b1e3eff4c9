"""Build hook: ``napari.yaml`` and ``resources`` live once, at the top level, and travel inside the package.

A wheel gets copies. An editable install gets relative links, so that an edit at the top level is seen at once; where
links cannot be made (Windows without the right), it gets copies (docs/adr/0004-build-hook.md).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "napari_dainr"
SHARED = ("napari.yaml", "resources")


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,unused-ignore]
    """Put the manifest and the resources where npe2 and importlib.resources look for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Link for ``version == "editable"``, otherwise include in the wheel."""
        root = Path(self.root)
        for name in SHARED:
            if version == "editable":
                _link(root / name, root / PACKAGE / name)
            else:
                build_data["force_include"][str(root / name)] = f"{PACKAGE}/{name}"


def _link(source: Path, target: Path) -> None:
    """Make ``target`` show ``source``, replacing what an earlier install left there."""
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    try:
        target.symlink_to(os.path.relpath(source, target.parent), target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
