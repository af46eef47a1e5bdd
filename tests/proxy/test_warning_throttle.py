"""Warnings that every request may bring."""

from __future__ import annotations

import pytest

from balance.proxy.warning_throttle import EVERY_S, RequestIds, ThrottledWarning


def test_the_first_is_said_at_once_and_the_next_a_minute_later_with_the_count(caplog: pytest.LogCaptureFixture) -> None:
    warning = ThrottledWarning()
    for now in (5.0, 6.0, 64.9, 5.0 + EVERY_S, 66.0, 1000.0, 1001.0):
        warning.say(now, f"at {now}")
    assert caplog.messages == [
        "at 5.0",
        "at 65.0 (2 more like it since the last such warning)",
        "at 1000.0 (1 more like it since the last such warning)",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_the_request_that_a_message_speaks_of_is_in_the_record(caplog: pytest.LogCaptureFixture) -> None:
    warning = ThrottledWarning(1.0)
    warning.say(5.0, "one", RequestIds(b"5f00000001", b"4bf92f3577b34da6"))
    warning.say(7.0, "another")
    assert [getattr(record, "request_id", None) for record in caplog.records] == ["5f00000001", None]
    assert [getattr(record, "trace_id", None) for record in caplog.records] == ["4bf92f3577b34da6", None]
