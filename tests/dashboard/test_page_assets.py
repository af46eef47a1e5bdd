"""What may stand in the page's files: no request to elsewhere, nothing that the policy forbids, no data as markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "balance/admin/dashboard/assets"
OURS = sorted(file for file in ASSETS.rglob("*.*") if "vendor" not in file.parts)
MOST_LINES = 230
# Writing data as markup, code from text, and styles in attributes (which the policy refuses).
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"style\"|cssText"
)
ELSEWHERE = re.compile(r"(?:https?:)?//[a-z0-9-]+\.[a-z]")
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("file", OURS, ids=lambda file: str(file.relative_to(ASSETS)))
def test_a_file_of_the_page_keeps_to_the_rules(file: Path) -> None:
    text = file.read_text()
    assert FORBIDDEN.findall(text) == []
    assert ELSEWHERE.findall(text.replace(NAMESPACE, "")) == []
    assert len(text.splitlines()) <= MOST_LINES
    if file.suffix == ".js":
        assert text.startswith("// "), "a file opens with what it decides"
    if file.suffix == ".css":
        assert text.startswith("/* ")


def test_the_page_has_neither_inline_scripts_nor_inline_styles() -> None:
    text = (ASSETS / "index.html").read_text()
    assert re.findall(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", text) == []


def test_every_file_that_the_page_names_is_there_and_every_module_is_used() -> None:
    page = (ASSETS / "index.html").read_text()
    named = {ASSETS / path for path in re.findall(r"dashboard/assets/([\w./-]+)", page)}
    modules = [file for file in OURS if file.suffix == ".js"]
    for module in modules:
        named |= {
            (module.parent / path).resolve() for path in re.findall(r'(?:from |URL\()"(\.[\w./-]+\.js)"', module.read_text())
        }
    assert sorted(file for file in named if not file.is_file()) == []
    assert [file for file in OURS if file.suffix in {".js", ".css", ".svg"} and file not in named] == []


def test_no_folder_holds_more_files_than_a_reader_takes_in() -> None:
    folders = {file.parent for file in ASSETS.rglob("*.*")}
    assert [folder for folder in folders if len([each for each in folder.iterdir() if each.is_file()]) > 16] == []
