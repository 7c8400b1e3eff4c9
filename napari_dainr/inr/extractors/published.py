"""Published weights that can be fetched, with their hashes."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from napari_dainr.errors import InputError, ResourceError
from napari_dainr.io.checkpoint import check_sha256

__all__ = ["PUBLISHED", "Published", "fetch_weights", "weights_folder"]

_MAX_BYTES = 1 << 30
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Published:
    """A file on its authors' server. ``sha256`` is whole, or the first eight digits where only these are published."""

    url: str
    sha256: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


_SNU = "https://cv.snu.ac.kr/research/EDSR/models/"
_SWINIR = "https://github.com/JingyunLiang/SwinIR/releases/download/v0.0/"

PUBLISHED: dict[str, Published] = {
    "edsr": Published(
        f"{_SNU}edsr_baseline_x2-1bc95232.pt", "1bc9523228fdc3b0a5ddb0d7062001e22b31bbb398ae09cfdefb97e8ee06e171"
    ),
    # The authors put the first eight digits into the name; the others are published nowhere that we know of.
    "mdsr": Published(f"{_SNU}mdsr-4a78bedf.pt", "4a78bedf"),
    "swinir": Published(
        f"{_SWINIR}001_classicalSR_DF2K_s64w8_SwinIR-M_x2.pth",
        "2032ebf8f401dd3ce2fae5f3852117cb72101ec6ed8358faa64c2a3fa09ed4ac",
    ),
}
"""What ``extractor_weights = download`` fetches. RDN is missing: no hash of its weights is published."""


def weights_folder() -> Path:
    """Where fetched weights are kept: ``$NAPARI_DAINR_WEIGHTS``, or a folder in the user's cache."""
    given = os.environ.get("NAPARI_DAINR_WEIGHTS")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "napari-dainr" / "weights"


def fetch_weights(architecture: str, folder: Path | None = None) -> Path:
    """The published weights of an architecture: fetched once, checked against their hash, and kept.

    Raises
    ------
    InputError
        If nothing can be fetched for it, or what came is not the published file.
    ResourceError
        If the server cannot be reached or the file cannot be kept.
    """
    if architecture not in PUBLISHED:
        raise InputError(
            f"extractor_weights is 'download', but no weights with a known hash are published for {architecture}; "
            "give the path of a file."
        )
    published = PUBLISHED[architecture]
    folder = folder or weights_folder()
    target = folder / published.file
    if target.is_file():
        check_sha256(target, published.sha256)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as beside:
            arrived = Path(beside) / published.file
            digest = _download(published.url, arrived)
            if not digest.startswith(published.sha256):
                raise InputError(
                    f"{published.file}: what its server sent has another SHA-256 ({digest[:12]}…) than the published "
                    "file; get it from its authors and give its path in extractor_weights."
                )
            os.replace(arrived, target)
    except urllib.error.URLError as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = (getattr(cause, "strerror", None) or str(cause)).lower()
        raise ResourceError(
            f"{published.file}: cannot be fetched from {_server(published.url)} ({reason}); get the file on a machine "
            "with a connection and give its path in extractor_weights."
        ) from None
    except (OSError, HTTPException) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ResourceError(
            f"{published.file}: cannot be fetched or kept ({reason}); get the file by other means and give its path in "
            "extractor_weights."
        ) from None
    return target


def _server(url: str) -> str:
    return url.split("/")[2]


def _download(url: str, path: Path) -> str:
    """Fetch a file; returns its SHA-256."""
    digest = hashlib.sha256()
    size = 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, path.open("xb") as file:
        while block := answer.read(1 << 20):
            size += len(block)
            if size > _MAX_BYTES:
                raise InputError(f"{path.name}: is larger than any published file; give a path in extractor_weights.")
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
