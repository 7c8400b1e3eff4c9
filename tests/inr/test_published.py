"""Published weights: fetched once, compared with their hash, and one sentence where that cannot be."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from napari_dainr.errors import DainrError, InputError, ResourceError
from napari_dainr.inr.extractors import PUBLISHED, fetch_weights, published
from napari_dainr.inr.extractors.published import Published


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file on a server; only its bytes matter here."""
    path = tmp_path / "net.pt"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


def serve(monkeypatch: pytest.MonkeyPatch, path: Path, sha256: str) -> None:
    monkeypatch.setitem(published.PUBLISHED, "edsr", Published(path.as_uri(), sha256))


@pytest.mark.parametrize("digits", [64, 8])
def test_weights_are_fetched_once_and_checked(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: int
) -> None:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    serve(monkeypatch, source, digest[:digits])
    monkeypatch.setenv("NAPARI_DAINR_WEIGHTS", str(tmp_path / "kept"))
    path = fetch_weights("edsr")
    assert path == tmp_path / "kept" / "net.pt" and path.read_bytes() == source.read_bytes()
    source.unlink()
    assert fetch_weights("edsr") == path  # no server needed any more
    path.write_bytes(b"changed")
    with pytest.raises(InputError, match=r"net\.pt: its SHA-256"):
        fetch_weights("edsr")


def test_what_is_not_the_published_file_is_not_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, source, "0" * 64)
    with pytest.raises(InputError, match=r"^net\.pt: what its server sent has another SHA-256 .*\.$"):
        fetch_weights("edsr", tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_without_a_connection_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(published.PUBLISHED, "edsr", Published("http://127.0.0.1:1/net.pt", "0" * 64))
    with pytest.raises(ResourceError, match=r"^net\.pt: cannot be fetched from 127\.0\.0\.1:1 .*extractor_weights\.$"):
        fetch_weights("edsr", tmp_path / "kept")
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(DainrError, match="extractor_weights"):
        fetch_weights("edsr", blocked)


def test_nothing_is_fetched_without_a_hash(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights with a known hash are published for rdn"):
        fetch_weights("rdn", tmp_path)
    for entry in PUBLISHED.values():
        assert entry.url.startswith("https://")
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", entry.sha256)
        named = re.search(r"-([0-9a-f]{8})\.pt$", entry.file)
        assert named is None or entry.sha256.startswith(named[1])
