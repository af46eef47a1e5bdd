"""The lines of the screen at every size."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_server import OUT, backend, state

from balance.cli.top.cells import width_of
from balance.cli.top.lines import Line, Span, Style, cut
from balance.cli.top.screen import HELP, KEYS, plain_lines, screen, table_height
from balance.cli.top.view import View

NOW = time.time()
STATE = state(backend(1), backend(2, **OUT), backend(3, "a-pool-with-a-very-long-name-that-no-window-shows", name="漢字" * 20))


def text(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in lines]


def view(document: Any = STATE, **looks: Any) -> View:
    found = View(**looks)
    found.update(document, {"app/b2": "connect_refused"})
    return found


@settings(max_examples=40)
@given(st.integers(0, 250), st.integers(0, 60), st.sampled_from(["", "d", "dy", "/ab", "p", "?", "sss", "x"]), st.booleans())
def test_no_line_is_too_wide_and_there_are_as_many_as_asked_for(width: int, height: int, keys: str, is_lost: bool) -> None:
    found = view(lost="nobody answers" if is_lost else "", lost_at=NOW - 5)
    for key in keys:
        found.press(key, 5)
    lines = screen(found, width, height, NOW, "127.0.0.1:9090")
    assert len(lines) == (height if width else 0)
    assert all(width_of("".join(span.text for span in line)) <= width for line in lines)
    assert table_height(found, width, height) >= 1


def test_80x24_has_all_columns_and_all_keys() -> None:
    lines = text(screen(view(), 80, 24, NOW, "127.0.0.1:9090"))
    assert lines[3].split() == ["BACKEND", "STATE", "CIRC", "WGT", "SH/DUE%", "ACT", "REQ/S", "P50", "P99", "ERR/S"]
    assert lines[-1] == KEYS
    assert all(width_of(line) <= 80 for line in HELP)
    assert len(HELP) <= 80 - 3


def test_a_row_that_gets_nothing_says_why_and_a_wide_one_has_both() -> None:
    narrow, wide = text(screen(view(), 80, 24, NOW, "")), text(screen(view(), 200, 24, NOW, ""))
    assert "unhealthy   OPEN   Its health checks fail" in narrow[5]
    assert wide[3].split()[-1] == "WHY"
    assert "0/0     0     0" in wide[5] and "Its health checks fail (connection refused); it is back" in wide[5]
    busy = view(state(backend(1), backend(2, **(OUT | {"active": 5}))))
    assert "Its health" not in text(screen(busy, 80, 24, NOW, ""))[5]


@pytest.mark.parametrize("width", [80, 200])
def test_what_colour_says_words_say_too(width: int) -> None:
    found = view()
    found.press("end", 5)
    lines = screen(found, width, 24, NOW, "")
    assert {span.style for span in lines[5]} == {Style.BAD} and "unhealthy" in text(lines)[5]
    assert lines[6][0].style is Style.SELECTED and text(lines)[6].startswith(">")
    assert "1 OUT" in text(lines)[2]
    dead = view(state(backend(1, **OUT)))
    assert "NOBODY READY in app" in text(screen(dead, 80, 24, NOW, ""))[2]
    dead.lost, dead.lost_at = "nobody answers at h:1 (connection refused)", NOW - 75
    first = screen(dead, 80, 24, NOW, "")[0]
    assert first[0].style is Style.BAD and "(75s): nobody answers at h:1" in first[0].text


def test_a_question_says_what_will_happen_and_stays_in_a_tiny_window() -> None:
    found = view()
    found.press("d", 5)
    assert found.question is not None
    found.question.preview = (
        "3 of 4 backends of pool app stay and take its requests; 12 requests under way there are let finish. " * 2
    )
    lines = text(screen(found, 80, 24, NOW, ""))
    assert lines[-1] == "Drain app/b1? y yes, n no"
    assert "12 requests under way" in " ".join(lines)
    assert text(screen(found, 80, 4, NOW, ""))[-1] == "Drain app/b1? y yes, n no"


def test_what_is_not_known_is_a_dash() -> None:
    lines = text(screen(view({}), 80, 24, NOW, "h:1"))
    assert lines[1].startswith("req/s -  4xx/s -")
    assert lines[4] == "  no backends"
    found = view()
    found.filter = "nothing"
    found.arrange()
    assert text(screen(found, 80, 24, NOW, ""))[4] == "  no backends match; Esc shows all"


def test_the_selected_row_is_seen_in_every_height() -> None:
    found = view(state(*(backend(number) for number in range(50))))
    found.press("end", 5)
    for height in range(7, 40):
        assert any(line.startswith(">app/b49") for line in text(screen(found, 80, height, NOW, ""))), height


def test_plain_lines_have_every_row_and_reason() -> None:
    lines = plain_lines(view(), "h:1", NOW)
    assert len(lines) == 3 + 1 + 3
    assert lines[5].endswith("it is back after 2 good checks in a row.")


def test_a_line_of_spans_is_cut() -> None:
    assert cut([Span("abc"), Span("def", Style.BAD), Span("x")], 5) == [Span("abc"), Span("d~", Style.BAD)]
