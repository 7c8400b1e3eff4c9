"""What a container leaves this process."""

from pathlib import Path

import pytest

from napari_dainr import machine


@pytest.mark.parametrize(
    ("folder", "limit", "used", "given"),
    [
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_files_that_were_read_take_no_memory_from_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, limit: str, used: str, given: str
) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    at = tmp_path / folder
    at.mkdir(exist_ok=True)
    (at / limit).write_text("1000\n")
    (at / used).write_text("900\n")
    assert machine.available_memory() == 100  # no details
    (at / "memory.stat").write_text(f"anon 200\n{given} 700\nactive_file 5\n")
    assert machine.available_memory() == 800
    (at / limit).write_text("max\n")
    assert machine.available_memory() > 1000
