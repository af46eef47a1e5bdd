"""What counts as a change of a list's file. Each look is made by hand."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from balance.config import load_file
from balance.process.control.list_file_watch import ListFileWatch


class Case:
    """A configuration with two lists, and the watch of their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ns = 10**9
        self.write("block.txt", "10.0.0.1\n")
        self.write("allow.txt", "10.0.0.0/8\n")
        self.file = folder / "balance.yaml"
        self.file.write_text(
            "listen: ':1'\nbackends: [{address: a:1}]\n"
            "security: {ip_allowlist_files: allow.txt, ip_blocklist: {files: block.txt}}\n"
        )
        self.serve()
        self.watch = ListFileWatch(None, lambda: self.config, lambda: None)  # type: ignore[arg-type]

    def serve(self) -> None:
        self.config = load_file(self.file, {}).config

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self._ns += 10**9
        os.utime(self.folder / name, ns=(self._ns, self._ns))

    def looks(self, count: int) -> int:
        return sum(self.watch.has_changed() for _ in range(count))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    case = Case(tmp_path)
    assert case.looks(3) == 0
    return case


@pytest.mark.parametrize("name", ["block.txt", "allow.txt"])
def test_a_change_is_told_once_it_was_the_same_in_two_looks(case: Case, name: str) -> None:
    case.write(name, "10.0.0.2\n")
    assert [case.looks(1) for _ in range(3)] == [0, 1, 0]
    case.serve()
    assert case.looks(3) == 0


def test_another_order_and_a_comment_are_no_change(case: Case) -> None:
    case.write("block.txt", "# today\n10.0.0.1\n10.0.0.1/32\n")
    assert case.looks(3) == 0


def test_a_file_that_changed_before_the_watch_began_is_told(case: Case) -> None:
    case.write("block.txt", "10.0.0.2\n")
    case.watch = ListFileWatch(None, lambda: case.config, lambda: None)  # type: ignore[arg-type]
    assert case.looks(2) == 1


def test_a_rename_over_the_file_and_a_symlink_that_is_swapped_are_changes(case: Case) -> None:
    case.write("new.txt", "10.0.0.2\n")
    os.rename(case.folder / "new.txt", case.folder / "block.txt")
    assert case.looks(2) == 1
    case.serve()
    case.write("data1", "10.0.0.3\n")
    os.symlink("data1", case.folder / "link")
    os.rename(case.folder / "link", case.folder / "block.txt")
    assert case.looks(2) == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("block.txt", "10.0.0.2\n010.0.0.1\n", "{0}/block.txt:2: '010.0.0.1' is not an address"),
        ("allow.txt", "", "{0}/allow.txt: is empty, and nobody could connect"),
    ],
)
def test_a_wrong_list_is_told_in_one_line_and_no_change(
    case: Case, name: str, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "balance.control"):
        case.write(name, text)
        assert case.looks(5) == 0
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith(f"the access list {name} stays as it was: {said.format(case.folder)}")
        case.write(name, "10.0.0.9\n")
        assert case.looks(2) == 1


def test_a_file_that_is_gone_is_no_change(case: Case) -> None:
    (case.folder / "block.txt").unlink()
    assert case.looks(3) == 0
    case.write("block.txt", "10.0.0.5\n")
    assert case.looks(2) == 1
