"""The committed pages are what their tables make; what is written by hand stays."""

import re
from pathlib import Path

import pytest

from balance.cli.explain import pages

DOCS = Path(__file__).parents[3] / "docs"
LINK = re.compile(r"\]\((?:(\w+\.md))?#([\w-]+)\)")


def test_the_pages_are_those_that_the_tables_make() -> None:
    hint = "run: balance explain --write docs"
    text = (DOCS / pages.OBSERVABILITY).read_text()
    assert pages.observability(text) == text, hint
    assert pages.troubleshooting() == (DOCS / pages.TROUBLESHOOTING).read_text(), hint


def test_what_stands_around_the_generated_parts_stays(tmp_path: Path) -> None:
    empty = "".join(f"by hand, {name}\n<!-- generated: {name} -->\nold\n<!-- end of {name} -->\n" for name in pages.PARTS)
    (tmp_path / pages.OBSERVABILITY).write_text(empty)
    assert pages.rewrite(tmp_path) == [tmp_path / pages.OBSERVABILITY, tmp_path / pages.TROUBLESHOOTING]
    text = (tmp_path / pages.OBSERVABILITY).read_text()
    assert "old" not in text.splitlines()
    assert all(f"by hand, {name}\n" in text for name in pages.PARTS)
    assert "| `no_healthy` |" in text
    assert pages.rewrite(tmp_path) == []


def test_a_page_without_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="needs each of the parts"):
        pages.observability("<!-- generated: whys -->\n<!-- end of whys -->\n")


@pytest.mark.parametrize("name", [pages.OBSERVABILITY, pages.TROUBLESHOOTING])
def test_every_link_leads_to_a_heading(name: str) -> None:
    for page, target in LINK.findall((DOCS / name).read_text()):
        headings = re.findall(r"(?m)^#+ (.*)$", (DOCS / (page or name)).read_text())
        assert target in {pages.anchor(heading) for heading in headings}, (page or name, target)


def test_every_row_has_as_many_cells_as_its_heading() -> None:
    for name in (pages.OBSERVABILITY, pages.TROUBLESHOOTING):
        columns = 0
        for line in (DOCS / name).read_text().splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert not cells or not columns or cells == columns, line
            columns = cells
