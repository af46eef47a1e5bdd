"""What becomes the text of a release."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest
from dockerfile import ROOT

from balance.version import VERSION

PROGRAM = ROOT / "cmd" / "release_notes"
MODULE = runpy.run_path(str(PROGRAM / "__main__.py"), run_name="release_notes")
CHANGELOG = "# Changelog\n\nWords.\n\n## 1.2.0 (unreleased)\n\n- new\n\n## 1.1.0 (2026-11-29)\n\n- one\n- two\n\n## 1.0.0\n\n"


def test_the_section_of_the_version_is_the_text() -> None:
    assert MODULE["notes"]("v1.1.0", CHANGELOG, "1.1.0") == "- one\n- two\n"


@pytest.mark.parametrize(
    ("tag", "version", "said"),
    [
        ("v1.2.0", "1.2.0", "unreleased"),
        ("v1.0.0", "1.0.0", "says nothing"),
        ("v1.3.0", "1.3.0", "no section"),
        ("v1.1.0", "1.2.0", r"says 1\.2\.0, the tag 1\.1\.0"),
        ("1.1.0", "1.1.0", "no tag of a release"),
        ("v1.1.0; rm -rf /", "1.1.0", "no tag of a release"),
    ],
)
def test_a_release_that_is_not_finished_is_refused(tag: str, version: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MODULE["notes"](tag, CHANGELOG, version)


def test_the_version_is_read_without_running_it() -> None:
    assert MODULE["version_of"]((ROOT / "balance" / "version.py").read_text()) == VERSION


def test_the_command_ends_with_a_line_and_a_status() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM), "v0.0.0"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert subprocess.run([sys.executable, str(PROGRAM)], capture_output=True).returncode == 2
