"""Write docs/reference: settings from the pydantic models, commands from the command line's own help.

Usage: python docs/make_reference.py [FOLDER]
"""

from __future__ import annotations

import argparse
import os
import sys
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from napari_dainr.cli import build_parser
from napari_dainr.importing import ImportOptions
from napari_dainr.methods.config import CONFIGS, PRESETS
from napari_dainr.recipe import Recipe

REFERENCE = Path(__file__).resolve().parent / "reference"
MADE = "<!-- Made by docs/make_reference.py; do not edit. -->\n"
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def kind(annotation: Any) -> str:
    """A type as a user would say it."""
    if annotation is type(None):
        return "empty"
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    parts = typing.get_args(annotation)
    if parts and typing.get_origin(annotation) is not dict:
        return " or ".join(kind(part) for part in parts)
    return "named values"


def allowed(field: FieldInfo) -> str:
    """Type and bounds of a field."""
    bounds = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    what, empty, rest = kind(field.annotation).partition(" or empty")
    return " ".join([what, *filter(None, [", ".join(bounds)])]) + empty + rest


def shown(value: Any) -> str:
    """A default or preset value in a table cell."""
    if value is None or value == "":
        return "empty"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table(model: type[BaseModel], presets: dict[str, dict[str, Any]]) -> str:
    """One row per field; a column for every preset that changes something."""
    changing = {name: values for name, values in presets.items() if values}
    heads = ["key", "default", *(f"preset `{name}`" for name in changing), "may be", "what it is"]
    rows = [heads, ["---"] * len(heads)]
    for key, field in model.model_fields.items():
        default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        unit = f" Unit: {extra['unit']}." if "unit" in extra else ""
        label = f"**{field.title}**: " if field.title and field.title != key else ""
        changed = [shown(values[key]) if key in values else "" for values in changing.values()]
        rows.append([f"`{key}`", default, *changed, allowed(field), f"{label}{field.description or ''}{unit}"])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def settings() -> str:
    """The page of all settings."""
    parts = [
        MADE,
        "# Settings\n",
        "Every field of a recipe, and every setting of every method. The command line sets a method's with "
        "`--set key=value`, a recipe file under `settings`; the form shows them by their bold names. "
        "An unknown key is an error.\n",
        "## Recipe\n",
        table(Recipe, {}),
        "## Import\n",
        "The recipe's `importing`; on the command line each is a flag of `info` and `recon`.\n",
        table(ImportOptions, {}),
    ]
    for name, model in CONFIGS.items():
        presets = {preset: values[name] for preset, values in PRESETS.items()}
        parts += [f"## Method `{name}`\n", (model.__doc__ or "").strip() + "\n"]
        parts.append(table(model, presets) if model.model_fields else "No settings.\n")
    return "\n".join(parts)


def commands() -> dict[str, argparse.ArgumentParser]:
    """Parsers of the subcommands by name, in the order of the help."""
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise LookupError("napari-dainr has no subcommands")


def command_line() -> str:
    """The page of all commands: what ``--help`` prints, 100 columns wide."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    parts = [MADE, "# Command line\n", f"```text\n{build_parser().format_help()}```\n"]
    for name, parser in commands().items():
        parts += [f"## `{name}`\n", f"```text\n{parser.format_help()}```\n"]
    return "\n".join(parts)


def main(folder: Path = REFERENCE) -> None:
    """Write both pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"settings.md": settings(), "command-line.md": command_line()}.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
