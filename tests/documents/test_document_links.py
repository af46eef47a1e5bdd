"""Links between pages lead to files and headings that there are; the README has a line for each page."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest
from document_blocks import ROOT, pages, text_of, without_blocks

LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?\)")
EXAMPLES = {"tests/probes/test_udp.py"}  # how a file of yours would be called
HEADING = re.compile(r"(?m)^#{1,6} +(.+?) *$")


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(page: str) -> set[str]:
    text = without_blocks(text_of(page))
    counts = Counter[str]()
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in HEADING.findall(text):
        name = slug(heading)
        found.add(f"{name}-{counts[name]}" if counts[name] else name)
        counts[name] += 1
    if page == "docs/CONFIGURATION.md":  # made from the schema; sections with a dot keep it in their links
        found |= {heading.replace(" ", "-") for heading in HEADING.findall(text)}
    return found


@pytest.mark.parametrize("page", [*pages(), "CHANGELOG.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    wrong = []
    for target in LINK.findall(without_blocks(text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path if path else ROOT / page).resolve()
        is_there = file.exists()
        if is_there and anchor and file.suffix == ".md":
            is_there = anchor in anchors(file.relative_to(ROOT).as_posix())
        if not is_there:
            wrong.append(target)
    assert wrong == []


def test_the_readme_has_a_line_for_every_page() -> None:
    readme = text_of("README.md")
    table = readme.split("## Documents\n", 1)[1].partition("\n## ")[0]
    named = re.findall(r"(?m)^\| \[[^\]]+\]\(([^)]+)\) \| (.{20,}) \|$", table)
    assert [path for path, _ in named] == list(dict.fromkeys(path for path, _ in named))
    pages_there = {page for page in pages() if page != "README.md"}
    assert {path if path.endswith(".md") else f"{path}/README.md" for path, _ in named} == pages_there


@pytest.mark.parametrize("page", pages())
def test_a_page_begins_with_its_title_and_has_no_tabs_of_headings_skipped(page: str) -> None:
    levels = [len(match[1]) for match in re.finditer(r"(?m)^(#{1,6}) ", without_blocks(text_of(page)))]
    assert levels[:1] == [1]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_files_that_pages_name_in_backticks_are_there() -> None:
    named = {
        f"{page}: {name}": ROOT / name
        for page in pages()
        for name in re.findall(r"`((?:deployments|docs|tests|benchmarks|cmd)/[\w./-]+)`", text_of(page))
        if name not in EXAMPLES
    }
    assert [name for name, path in named.items() if not path.exists()] == []
