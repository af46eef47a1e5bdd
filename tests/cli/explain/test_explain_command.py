"""`balance explain`: what it prints, and its exit status."""

from pathlib import Path

import pytest

from balance.cli.explain.pages import OBSERVABILITY, PARTS
from balance.cli.main import cli, run


def test_a_word_is_explained_without_the_marks_of_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["explain", "unauthorized"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "why unauthorized: no credentials, or wrong ones: 401, who asks"
    assert printed[2] == """  look:   jq -c 'select(.why == "unauthorized")' access.log"""
    assert "`" not in "".join(printed)


def test_a_word_that_there_is_not_is_told_with_what_is_close(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["explain", "no_helthy", "ok"]) == 1
    said = capsys.readouterr()
    assert said.err == "nothing here is called 'no_helthy'; did you mean no_healthy or unhealthy or healthy?\n"
    assert said.out.startswith("why ok: in order")


def test_without_a_word_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["explain"]) == 2
    assert "balance explain no_healthy" in capsys.readouterr().err


def test_pages_are_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / OBSERVABILITY
    page.write_text("".join(f"<!-- generated: {name} -->\n<!-- end of {name} -->\n" for name in PARTS))
    assert run(cli, ["explain", "--write", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{page} is made anew"


def test_a_page_that_lacks_a_part_is_an_error_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / OBSERVABILITY).write_text("")
    assert run(cli, ["explain", "--write", str(tmp_path)]) == 1
    assert "Traceback" not in capsys.readouterr().err
