"""What every module of this package adds its command to."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

__all__ = ["CommandParser", "Commands"]


class CommandParser(argparse.ArgumentParser):
    """The parser of one command; ``later`` adds flags that cost time to make, when the command is used."""

    later: Callable[[argparse.ArgumentParser], None] | None = None

    def _complete(self) -> None:
        later, self.later = self.later, None
        if later is not None:
            later(self)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        self._complete()
        return super().parse_known_args(args, namespace)

    def format_help(self) -> str:
        self._complete()
        return super().format_help()


Commands: TypeAlias = "argparse._SubParsersAction[CommandParser]"  # argparse has no public name for it
