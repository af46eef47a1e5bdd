"""A compiled wheel, made of an sdist and installed where nothing else is; BALANCE_COMPILE where nothing can be compiled."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from distribution import CLEAN, environment, run, serve_a_request, tracked_sources
from dockerfile import ROOT

from balance.version import VERSION

sys.path.insert(0, str(ROOT / "cmd" / "build"))

import compiled_modules

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

MODULES = [*compiled_modules.NATIVE.values(), *compiled_modules.sources(ROOT)]
CALL = "import sys; sys.path.insert(0, 'cmd/build'); import backend; print(getattr(backend, sys.argv[1])(*sys.argv[2:]))"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tracked_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def builder(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with setuptools and nothing else, mypy least of all."""
    lock = sources / "deployments" / "docker" / "build.lock"
    return environment(tmp_path_factory.mktemp("builder") / "environment", "--require-hashes", "-r", lock)


def call(builder: Path, sources: Path, wish: str, *hook: str | Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """What a front end does, in the sources; `path` instead of the usual one."""
    environ = {name: value for name, value in CLEAN.items() if name != "CC"} | {"BALANCE_COMPILE": wish}
    environ |= {"PATH": path} if path else {}
    return subprocess.run([builder, "-c", CALL, *hook], cwd=sources, env=environ, capture_output=True, text=True, timeout=300)


def test_one_is_made_of_an_sdist_and_serves(builder: Path, sources: Path, tmp_path: Path) -> None:
    assert call(builder, sources, "require", "build_sdist", tmp_path).returncode == 0
    (sdist,) = tmp_path.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", tmp_path, "--config-settings", "opt-level=0"]
    run(*pip, sdist, env=CLEAN | {"BALANCE_COMPILE": "require"}, timeout=800)
    (wheel,) = tmp_path.glob("*.whl")
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert re.fullmatch(rf"balance-{re.escape(VERSION)}-{tag}-{tag}-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    extensions = {name.partition(".")[0] for name in names if name.endswith(".so")}
    assert {name.partition(".")[0] for name in MODULES} | {"balance__mypyc"} == extensions
    assert {name for name in names if name.endswith(".c")} == set()
    assert {*compiled_modules.sources(ROOT)} <= {*names}  # for tracebacks and for readers

    python = environment(tmp_path / "environment", wheel)
    said = run(python.with_name("balance"), "--version", cwd=tmp_path)
    assert said.startswith(f"balance {VERSION}\ncompiled, CPython ")
    serve_a_request(python.parent, tmp_path)


@pytest.mark.parametrize("hook", ["get_requires_for_build_wheel", "build_wheel"])
def test_without_a_compiler_require_fails_in_a_line(builder: Path, sources: Path, tmp_path: Path, hook: str) -> None:
    arguments = [tmp_path] if hook == "build_wheel" else []
    done = call(builder, sources, "require", hook, *arguments, path=str(builder.parent))
    lacks = "no C compiler: " if hook != "build_wheel" else "mypy is not installed"
    assert done.returncode == 1
    assert re.fullmatch(rf"BALANCE_COMPILE=require: {lacks}.*\n", done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_1_makes_the_pure_wheel_and_says_why(builder: Path, sources: Path, tmp_path: Path) -> None:
    """As pip does it: what the build needs is asked for first; without a compiler mypy is no part of it."""
    done = call(builder, sources, "1", "get_requires_for_build_wheel", path=str(builder.parent))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]")
    done = call(builder, sources, "1", "build_wheel", tmp_path, path=str(builder.parent))
    said = [line for line in done.stderr.splitlines() if line.startswith("BALANCE_COMPILE")]
    assert said == ["BALANCE_COMPILE=1: not compiled, pure Python instead: mypy is not installed (mypy>=2.4)"]
    assert [file.name for file in tmp_path.iterdir()] == [f"balance-{VERSION}-py3-none-any.whl"]


def test_what_does_not_compile_is_pure_for_1_and_an_error_for_require(sources: Path, tmp_path: Path) -> None:
    """In an environment that has mypy, where the compiler is one that fails."""
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\ncase "$*" in *tried.c*) exit 0;; esac\necho "out of memory" >&2\nexit 1\n')
    compiler.chmod(0o755)
    for wish, status, made in (("require", 1, []), ("1", 0, [f"balance-{VERSION}-py3-none-any.whl"])):
        wheels = tmp_path / wish
        wheels.mkdir()
        environ = CLEAN | {"CC": str(compiler), "BALANCE_COMPILE": wish}
        command = [sys.executable, "-c", CALL, "build_wheel", wheels]
        done = subprocess.run(command, cwd=sources, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == status, done.stderr
        assert f"BALANCE_COMPILE={wish}: " in done.stderr and "it does not compile" in done.stderr
        assert [file.name for file in wheels.iterdir()] == made


def test_a_wish_that_is_none_is_refused(builder: Path, sources: Path, tmp_path: Path) -> None:
    done = call(builder, sources, "yes", "build_wheel", tmp_path)
    assert (done.returncode, done.stderr) == (1, "BALANCE_COMPILE=yes: it is 1 (compile if possible), require, or 0\n")


def test_nothing_compiled_comes_beside_the_sources(builder: Path, sources: Path, tmp_path: Path) -> None:
    """What is edited is Python. The last test of the file: no build before it has left anything either."""
    done = call(builder, sources, "1", "build_editable", tmp_path)
    assert "BALANCE_COMPILE=1: not compiled, pure Python instead: an editable installation is never compiled\n" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == [f"balance-{VERSION}-0.editable-py3-none-any.whl"]
    done = call(builder, sources, "require", "build_editable", tmp_path)
    assert (done.returncode, done.stderr) == (1, "BALANCE_COMPILE=require: an editable installation is never compiled\n")
    assert [*sources.rglob("*.so"), *sources.rglob("__native*")] == []
