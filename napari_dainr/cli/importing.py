"""Flags that say what a raw file means, made from the one table of import options."""

from __future__ import annotations

import argparse
import typing
from pathlib import Path
from typing import Any

__all__ = ["add_import_flags", "import_values"]


def add_import_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each field of :class:`napari_dainr.importing.ImportOptions`, all in a group of their own."""
    from napari_dainr.importing.options import ImportOptions, forms_of

    group = parser.add_argument_group("what the file means", "found out where not given; see info FILE")
    for name, field in ImportOptions.model_fields.items():
        form = forms_of(name)[0]
        flag, dest = f"--{name.replace('_', '-')}", f"import_{name}"
        text = (field.description or "").replace("%", "%%")
        origin = typing.get_origin(form)
        if form is bool:
            group.add_argument(flag, dest=dest, action=argparse.BooleanOptionalAction, help=text)
        elif origin is dict:
            group.add_argument(flag, dest=dest, action="append", metavar="role=name", help=text)
        elif origin is typing.Literal:
            group.add_argument(flag, dest=dest, choices=typing.get_args(form), help=text)
        elif origin in (tuple, list):
            group.add_argument(flag, dest=dest, metavar="A,B" if origin is tuple else "A,B,…", help=text)
        else:
            group.add_argument(flag, dest=dest, metavar="X" if form in (int, float) else "NAME", help=text)


def import_values(args: argparse.Namespace) -> dict[str, Any]:
    """What was given, by field; texts are left to the model to check."""
    from napari_dainr.importing.options import ImportOptions, value_of

    values: dict[str, Any] = {}
    for name in ImportOptions.model_fields:
        given = getattr(args, f"import_{name}")
        if given is not None:
            text = ",".join(given) if isinstance(given, list) else given
            values[name] = value_of(name, text) if isinstance(text, str) else text
    if values.get("trajectory_file"):
        # A recipe is run again from any folder.
        values["trajectory_file"] = str(Path(values["trajectory_file"]).resolve())
    return values
