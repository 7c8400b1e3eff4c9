"""The command line: ``napari-dainr COMMAND``, one module per command.

Everything heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from napari_dainr import RESEARCH_USE, __version__
from napari_dainr.cli import (
    bench,
    compare,
    curves,
    deformation,
    demo,
    export,
    info,
    metrics,
    open_viewer,
    qc,
    recon,
    render,
    rerun,
    simulate,
    xt,
)
from napari_dainr.cli.commands import CommandParser
from napari_dainr.errors import DainrError

__all__ = ["build_parser", "main"]

COMMANDS = (
    info,
    qc,
    recon,
    rerun,
    render,
    deformation,
    export,
    metrics,
    compare,
    curves,
    xt,
    simulate,
    demo,
    bench,
    open_viewer,
)
"""In the order of the help text."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0, 2 for an error that one sentence explains, 130 when interrupted."""
    args = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except DainrError as error:
        print(f"napari-dainr: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("napari-dainr: interrupted; a run that has a checkpoint goes on with --resume.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    parser = argparse.ArgumentParser(
        prog="napari-dainr",
        description=f"Dynamic MRI from golden-angle radial k-space. {RESEARCH_USE}",
    )
    parser.add_argument("--version", action="version", version=f"napari-dainr {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=CommandParser)
    for command in COMMANDS:
        command.add(commands)
    return parser
