"""What goes wrong, said once: every error that reaches a user is one of these."""

from __future__ import annotations

import os

__all__ = ["DainrError", "ExportError", "InputError", "ResourceError", "is_out_of_memory", "printable", "reason_of"]


class DainrError(Exception):
    """Base of all errors that are meant for the user: one sentence that says what is wrong, where, and what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(DainrError):
    """A file, field or setting given by the user cannot be used."""


class ResourceError(DainrError):
    """The machine lacks something: memory, disk space, a GPU, an optional package."""


class ExportError(DainrError):
    """A result could not be written; what was there before is unharmed."""


def printable(text: str) -> str:
    """Text on one line: a file name may hold line feeds and control characters, a message shall not."""
    return "".join(c if c.isprintable() else "?" for c in text)


def reason_of(error: BaseException) -> str:
    """A few words for a sentence, without any path: what the system says of a failed file operation."""
    if isinstance(error, OSError) and error.strerror:
        # HDF5 puts a whole report with the path there; the number says the same in three words.
        return (os.strerror(error.errno) if error.errno else error.strerror).lower()
    if is_out_of_memory(error):
        return "out of memory"
    if isinstance(error, OSError) and "requested and" in str(error):  # numpy, where a disk gets full
        return "not all of it could be written"
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; torch, cuBLAS and cuFFT say so by plain RuntimeErrors of many wordings."""
    text = f"{type(error).__name__} {error}".lower()
    signs = ("outofmemory", "out of memory", "alloc_failed")
    return (
        isinstance(error, MemoryError) or any(sign in text for sign in signs) or ("alloc" in text and "memory" in text)
    )
