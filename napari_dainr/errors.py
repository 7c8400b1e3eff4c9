"""What goes wrong, said once: every error that reaches a user is one of these."""

from __future__ import annotations

__all__ = ["DainrError", "ExportError", "InputError", "ResourceError"]


class DainrError(Exception):
    """Base of all errors that are meant for the user: one sentence that says what is wrong, where, and what to do."""


class InputError(DainrError):
    """A file, field or setting given by the user cannot be used."""


class ResourceError(DainrError):
    """The machine lacks something: memory, disk space, a GPU, an optional package."""


class ExportError(DainrError):
    """A result could not be written; what was there before is unharmed."""
