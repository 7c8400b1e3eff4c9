"""What is shipped: the wheel, the manifest, the dependencies, and that nothing in the package can run a file's code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import napari_dainr

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "napari_dainr"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "resources" not in path.relative_to(PACKAGE).parts)
QT_BINDINGS = {"pyqt5", "pyqt6", "pyside2", "pyside6"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The ``project`` and ``dependency-groups`` tables of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def build(source: Path, target: str, folder: Path) -> Path:
    """Build a wheel or sdist without network; returns the one file made."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


def members(wheel: Path) -> dict[str, bytes]:
    """Files of a wheel without the dist-info folder."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_package_the_manifest_and_the_resources_only(wheel: Path) -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if "resources" not in path.relative_to(PACKAGE).parts]
    expected = {str(path.relative_to(ROOT)): path.read_bytes() for path in sources}
    expected["napari_dainr/napari.yaml"] = (ROOT / "napari.yaml").read_bytes()
    for path in (ROOT / "resources").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            expected[f"napari_dainr/{path.relative_to(ROOT)}"] = path.read_bytes()
    assert any(name.startswith("napari_dainr/resources/") for name in expected), "there are no resources"
    found = {name: data for name, data in members(wheel).items() if not name.endswith("py.typed")}
    assert sorted(found) == sorted(expected)
    assert found == expected


def test_wheel_by_way_of_the_source_archive_is_the_same(wheel: Path, tmp_path: Path) -> None:
    archive = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as packed:
        # Python before 3.11.4 has no filters; the archive is our own.
        packed.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (unpacked,) = (path for path in tmp_path.iterdir() if path.name.startswith("napari_dainr-"))
    assert (unpacked / "tests").is_dir()
    assert members(build(unpacked, "wheel", tmp_path / "wheel")) == members(wheel)


def test_wheel_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        text = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    fields = HeaderParser().parsestr(text)
    assert fields["Name"] == "napari-dainr"
    assert fields["Version"] == napari_dainr.__version__
    assert fields["License-Expression"] == "BSD-3-Clause"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "Framework :: napari" in fields.get_all("Classifier", [])
    assert "napari-dainr = napari_dainr.cli:main" in points
    assert "napari-dainr = napari_dainr:napari.yaml" in points


def test_root_and_package_show_the_same_manifest_and_resources() -> None:
    installed = resources.files("napari_dainr")
    assert installed.joinpath("napari.yaml").read_bytes() == (ROOT / "napari.yaml").read_bytes()
    files = [path for path in (ROOT / "resources").iterdir() if path.is_file()]
    assert files
    for path in files:
        assert installed.joinpath("resources", path.name).read_bytes() == path.read_bytes()


def test_manifest_is_valid_and_every_command_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-dainr"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = PluginManifest.from_distribution("napari-dainr")
    assert manifest.contributions.commands
    manifest.validate_imports()


def test_version_is_said_once(project: dict[str, Any]) -> None:
    assert metadata.version("napari-dainr") == napari_dainr.__version__
    assert project["project"]["dynamic"] == ["version"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == napari_dainr.__version__


def test_base_install_brings_no_qt_binding(project: dict[str, Any]) -> None:
    base = [Requirement(text) for text in project["project"]["dependencies"]]
    assert not any(requirement.extras for requirement in base)
    for name in ["napari", *(requirement.name for requirement in base)]:
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) not in QT_BINDINGS, f"{name} needs {text}"


def test_constraints_pin_every_direct_dependency(project: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    versions = {canonicalize_name(pin.partition("==")[0]): pin.partition("==")[2] for pin in pins}
    table = project["project"]
    wanted = list(table["dependencies"])
    for extra in table["optional-dependencies"].values():
        wanted += extra
    for group in project["dependency-groups"].values():
        wanted += [entry for entry in group if isinstance(entry, str)]
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), text


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def unsafe(tree: ast.AST) -> list[str]:
    """What in a module could run code that a file brings, or a shell."""
    found = []
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            if module.partition(".")[0] in {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}:
                found.append(f"line {node.lineno}: import of {module}")  # type: ignore[attr-defined]
            if module in {"torch.load", "yaml.load", "os.system"}:
                found.append(f"line {node.lineno}: import of {module}")  # type: ignore[attr-defined]
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system"}:
                found.append(f"line {node.lineno}: call of {name}")
            for keyword in node.keywords:
                if keyword.arg in {"allow_pickle", "shell"} and getattr(keyword.value, "value", True) is not False:
                    found.append(f"line {node.lineno}: {keyword.arg} is not False")
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from torch import load",
        "x = torch.load(f)",
        "eval(s)",
        "yaml.load(f)",
        "np.load(f, allow_pickle=True)",
        "subprocess.run(c, shell=True)",
    ],
)
def test_the_search_for_unsafe_code_finds_it(line: str) -> None:
    assert unsafe(ast.parse(line))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_package_cannot_run_what_a_file_brings(path: Path) -> None:
    assert unsafe(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
