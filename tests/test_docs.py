"""The documentation says what is true: its commands parse, its Python runs, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from napari_dainr.cli import build_parser, main
from napari_dainr.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of one language, in order."""
    return [body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands() -> list[tuple[str, str]]:
    """(page, command) for every line that begins with ``$`` in a console block."""
    return [
        (named(page), line[2:].partition("  #")[0].strip())
        for page in PAGES
        for block in blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def test_there_are_commands_to_check() -> None:
    said = {command.split()[1] for _, command in commands() if command.startswith("napari-dainr ")}
    assert {"info", "recon", "render", "export", "metrics", "simulate", "open"} <= said


@pytest.mark.parametrize(("page", "command"), commands())
def test_command_is_one_that_exists(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "napari-dainr":
        assert callable(build_parser().parse_args(words[1:]).command)
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif words[:4] == ["python", "-m", "pip", "install"]:
        assert words[4:6] == ["-c", "constraints.txt"]
        assert (ROOT / "constraints.txt").is_file()
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert set(re.findall(r"\[(\w+)\]", words[6])) <= set(project["optional-dependencies"])
    else:
        pytest.fail(f"{page}: nobody checks {command!r}")


def test_every_command_has_help() -> None:
    for command in ("info", "recon", "render", "export", "metrics", "simulate", "demo", "open"):
        with pytest.raises(SystemExit) as done:
            build_parser().parse_args([command, "--help"])
        assert done.value.code == 0


@pytest.fixture(scope="module")
def folder_with_a_cine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ``cine.h5``, as the examples expect it."""
    folder = tmp_path_factory.mktemp("examples")
    size = ["--matrix", "32", "--frames", "4", "--coils", "3"]
    assert main(["simulate", str(folder / "cine.h5"), *size]) == 0
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=named)
def test_python_examples_run(page: Path, folder_with_a_cine: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        cwd=folder_with_a_cine, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if "://" in target:
            continue
        place, _, anchor = target.partition("#")
        goal = (page.parent / place).resolve() if place else page
        assert goal.exists(), f"{named(page)}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", goal.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{named(page)}: {target}"


def test_reference_is_up_to_date(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_reference.py"), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept = ROOT / "docs" / "reference"
    assert (kept / "settings.md").read_bytes() == (tmp_path / "settings.md").read_bytes(), "run make docs"
    # argparse lays help out differently from one Python to the next: compare what it says, not how it is broken up.
    words = [set((folder / "command-line.md").read_text(encoding="utf-8").split()) for folder in (kept, tmp_path)]
    flags = [{word.strip("[],()") for word in page if word.startswith(("-", "[-", "##"))} for page in words]
    assert flags[0] == flags[1], "run make docs"


def test_page_of_methods_names_every_method_and_preset_difference() -> None:
    from napari_dainr.methods.config import CONFIGS, PRESETS

    listed = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in listed for name in CONFIGS)
    assert {"fast", "paper"} == set(PRESETS)


def test_recipe_in_the_docs_is_read(folder_with_a_cine: Path) -> None:
    """``recon --recipe run/recipe.json``: a run folder's recipe is one that the command line takes."""
    run = folder_with_a_cine / "run"
    recon = ["recon", str(folder_with_a_cine / "cine.h5"), "-o", str(run), "--method", "nufft", "--quiet"]
    assert main(recon) == 0
    recipe = load_recipe(run / "recipe.json")
    assert recipe.method == "nufft"
    assert recipe.spokes_per_frame == 13
