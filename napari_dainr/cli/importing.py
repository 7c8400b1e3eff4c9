"""Flags that say what a raw file means, made from the one table of import options."""

from __future__ import annotations

import argparse
import typing
from typing import Any

from napari_dainr.errors import InputError

__all__ = ["add_import_flags", "import_values"]


def _forms(annotation: Any) -> tuple[Any, ...]:
    """What a field may be, without None."""
    if typing.get_origin(annotation) is typing.Literal:
        return (annotation,)
    parts = typing.get_args(annotation)
    is_union = bool(parts) and typing.get_origin(annotation) not in (dict, list, tuple)
    return tuple(part for part in parts if part is not type(None)) if is_union else (annotation,)


def add_import_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each field of :class:`napari_dainr.importing.ImportOptions`, all in a group of their own."""
    from napari_dainr.importing import ImportOptions

    group = parser.add_argument_group("what the file means", "found out where not given; see info FILE")
    for name, field in ImportOptions.model_fields.items():
        form = _forms(field.annotation)[0]
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
    from napari_dainr.importing import ImportOptions

    values: dict[str, Any] = {}
    for name, field in ImportOptions.model_fields.items():
        given = getattr(args, f"import_{name}")
        if given is None:
            continue
        origin = typing.get_origin(_forms(field.annotation)[0])
        if origin is dict:
            pairs = [pair.partition("=") for pair in given]
            if not all(sign for _, sign, _ in pairs):
                raise InputError(f"--{name} {given[0]!r} is not of the form role=name.")
            values[name] = {role: value for role, _, value in pairs}
        elif origin in (tuple, list):
            values[name] = given.replace("x", ",").split(",")
        else:
            values[name] = given
    return values
