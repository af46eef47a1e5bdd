"""Lines of a watch, however they are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.watch_lines import MAX_LINE, WatchLines

EVENTS = [
    {"type": "ADDED", "object": {"a": "äöü"}},
    {"type": "BOOKMARK", "object": {}},
    {"type": "ERROR", "object": {"code": 410}},
]
DATA = "\n".join([json.dumps(event, ensure_ascii=False) for event in EVENTS]).encode() + b"\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 13, 1000])
def test_events_are_the_same_however_the_bytes_are_cut(size: int) -> None:
    lines = WatchLines()
    got = [event for at in range(0, len(DATA), size) for event in lines.feed(DATA[at : at + size])]
    assert got == EVENTS and lines.is_between


def test_an_event_that_has_not_ended_is_held() -> None:
    lines = WatchLines()
    assert lines.feed(DATA[:10]) == [] and not lines.is_between


@pytest.mark.parametrize(
    "line", [b"[]", b"7", b"{}", b'{"type": 1, "object": {}}', b'{"type": "ADDED", "object": null}', b"{", b"<html>", b"\xff"]
)
def test_what_is_no_event(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"its answer|an event has no"):
        WatchLines().feed(line + b"\n")


def test_an_event_without_end_is_bounded() -> None:
    """A line of 10 MB, in pieces."""
    lines = WatchLines()
    with pytest.raises(ValueError, match="longer than 8 MB"):
        for _ in range(11):
            lines.feed(b"x" * 1024 * 1024)
            assert len(lines._held) <= MAX_LINE + 1024 * 1024


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_whatever_comes_gives_events_or_is_refused(pieces: list[bytes]) -> None:
    lines = WatchLines()
    try:
        for piece in pieces:
            assert all(isinstance(event["type"], str) for event in lines.feed(piece))
    except ValueError as error:
        assert "\n" not in str(error)
