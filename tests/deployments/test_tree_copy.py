"""What `python3 cmd/build --into` copies: of a clone what git knows, of an unpacked archive all but what was made there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile import ROOT

sys.path.insert(0, str(ROOT / "cmd" / "build"))

import tree_copy

SOURCES = {"pyproject.toml", "balance/model.py", "balance/build/kept.py", "cmd/build/command.py", "tests/data.txt"}
MADE = {
    ".venv/bin/python",
    "balance.egg-info/PKG-INFO",
    "balance/__pycache__/model.pyc",
    "balance/model.so",
    "build/lib/balance/model.py",
    "dist/balance.whl",
    ".mypy_cache/x.json",
}


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    root = tmp_path / "balance-1.0"
    for name in SOURCES | MADE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_an_archive_without_git_is_copied_whole_and_nothing_that_was_made_in_it(unpacked: Path, tmp_path: Path) -> None:
    assert tree_copy.files(unpacked) == SOURCES
    tree_copy.make(unpacked, tmp_path / "copy")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == SOURCES | {tree_copy.MARK}


def test_a_repository_around_an_archive_has_no_say(unpacked: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=unpacked.parent, check=True)
    (unpacked.parent / ".gitignore").write_text("balance-1.0/\n")
    assert tree_copy.files(unpacked) == SOURCES


def test_what_git_ignores_in_a_clone_is_left_out(unpacked: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=unpacked, check=True)
    (unpacked / ".gitignore").write_text("data.txt\n/build/\n/dist/\n.venv/\n*_cache/\n__pycache__/\n*.so\n*.egg-info/\n")
    assert tree_copy.files(unpacked) == SOURCES - {"tests/data.txt"} | {".gitignore"}


def test_without_git_installed_a_clone_is_copied_as_an_archive_is(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (unpacked / ".git").mkdir()
    (unpacked / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    monkeypatch.setenv("PATH", str(unpacked))
    assert tree_copy.files(unpacked) == SOURCES
    tree_copy.make_index(unpacked)


def test_a_clone_that_git_refuses_is_copied_as_an_archive_is(unpacked: Path) -> None:
    (unpacked / ".git").write_text("gitdir: /nowhere\n")
    assert tree_copy.files(unpacked) == SOURCES


def test_a_later_copy_takes_what_has_changed_and_drops_what_is_gone(unpacked: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    tree_copy.make(unpacked, copy)
    (unpacked / "tests" / "data.txt").unlink()
    (unpacked / "pyproject.toml").write_text("changed")
    tree_copy.make(unpacked, copy)
    assert not (copy / "tests" / "data.txt").exists()
    assert (copy / "pyproject.toml").read_text() == "changed"


def test_a_place_that_cannot_be_one_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, str(ROOT / "cmd" / "build"), "--into", str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert str(tmp_path / "file") in done.stderr and "Traceback" not in done.stderr


def test_nothing_is_copied_over_what_is_no_copy(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    for place, said in ((tmp_path / "full", "not empty"), (unpacked / "inside", "not beside the sources")):
        with pytest.raises(ValueError, match=said):
            tree_copy.make(unpacked, place)
