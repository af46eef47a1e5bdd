"""Wheel and sdist: what is in them, and an installation into an environment that has nothing else."""

from __future__ import annotations

import email
import shutil
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from distribution import environment, run, serve_a_request, tracked_sources
from dockerfile import ROOT

from balance.version import VERSION

pytestmark = pytest.mark.long

BUILDING = (
    "import os, sys; os.chdir(sys.argv[2]); sys.path.insert(0, 'cmd/build'); import backend\n"
    "getattr(backend, sys.argv[1])(sys.argv[3])"
)


class Built(NamedTuple):
    """What was made, in an environment with setuptools alone, of the tracked files alone."""

    folder: Path
    wheel: Path
    sdist: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("distribution")
    sources = tracked_sources(folder)
    (sources / "tests").mkdir()
    (sources / "tests" / "test_it.py").touch()  # of which setuptools would take some, without those that they need
    builder = folder / "builder"
    python = environment(builder, "--require-hashes", "-r", sources / "deployments" / "docker" / "build.lock")
    for kind in ("wheel", "sdist"):
        (folder / kind).mkdir()
        run(python, "-c", BUILDING, f"build_{kind}", sources, folder / kind)
    (wheel,), (sdist,) = (folder / "wheel").iterdir(), (folder / "sdist").iterdir()
    for name in ("unpacked", "again"):
        (folder / name).mkdir()
    run("tar", "-xf", sdist, "-C", folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    run(python, "-c", BUILDING, "build_wheel", unpacked, folder / "again")
    (again,) = (folder / "again").iterdir()
    yield Built(folder, wheel, sdist, again)
    shutil.rmtree(folder)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_is_the_package_with_its_data_and_nothing_else(built: Built) -> None:
    files = contents(built.wheel)
    info = f"balance-{VERSION}.dist-info/"
    tracked = run("git", "ls-files", "-z", "balance", cwd=ROOT).split("\0")
    assert {name for name in files if not name.startswith(info)} == {
        name for name in tracked if name and not name.endswith(".c")
    }
    assert "balance/admin/dashboard/assets/index.html" in files
    assert "balance/py.typed" in files
    metadata = email.message_from_bytes(files[f"{info}METADATA"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (metadata["Version"], metadata["License-Expression"]) == (VERSION, "MIT")
    assert set(metadata.get_all("Provides-Extra") or ()) == set(project["optional-dependencies"])
    assert f"{info}licenses/LICENSE" in files
    assert b"balance-validate = balance.cli.validate:main" in files[f"{info}entry_points.txt"]
    assert built.wheel.name == f"balance-{VERSION}-py3-none-any.whl"


def test_no_path_of_the_machine_is_inside(built: Built) -> None:
    places = [str(each).encode() for each in (built.folder, ROOT, Path.home()) if str(each) != "/"]
    for archive in (built.wheel, built.wheel_of_sdist):
        assert [name for name, data in contents(archive).items() if any(place + b"/" in data for place in places)] == []
    with tarfile.open(built.sdist) as packed:
        names = packed.getnames()
        assert [name for name in names if {"tests", "benchmarks", ".venv"} & set(Path(name).parts)] == []
        assert all(member.isdir() or member.isfile() for member in packed.getmembers())


def test_the_sdist_builds_the_same_wheel(built: Built) -> None:
    one, other = contents(built.wheel), contents(built.wheel_of_sdist)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name] and not name.endswith("RECORD")] == []


def test_an_unpacked_sdist_has_the_command_that_compiles_it(built: Built) -> None:
    (unpacked,) = (built.folder / "unpacked").iterdir()
    assert "usage: python3 cmd/build" in run(sys.executable, "cmd/build", "--help", cwd=unpacked)


def test_it_is_installed_and_serves(built: Built, tmp_path: Path) -> None:
    commands = environment(tmp_path / "environment", built.wheel).parent
    assert run(commands / "balance", "--version", cwd=tmp_path).startswith(f"balance {VERSION}\npure Python, CPython ")
    assert "valid" in run(commands / "balance-validate", ROOT / "deployments/examples/http-minimal.yaml", cwd=tmp_path)
    serve_a_request(commands, tmp_path)
