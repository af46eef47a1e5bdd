"""The line of a change can't be forged or grow without end."""

import logging

import pytest

from balance.admin.access.audit import AuditEntry, RefusalLog, plain
from balance.admin.access.client import Client
from balance.admin.events.history import EventLog


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u2028b", "a\\u2028b"),
        ("x" * 2000, "x" * 1500 + "..."),
        ("é", "é"),
    ],
)
def test_it_is_one_line_of_plain_text(text: str, line: str) -> None:
    assert plain(text) == line


def test_secrets_in_what_was_ordered_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    events = EventLog()
    with caplog.at_level(logging.INFO, "balance.admin"):
        AuditEntry(events, Client("ops\n", "CN=a\nb", "192.0.2.1:5")).note("set redis://u:hush@h/0", "refused: password=hush")
    assert "hush" not in caplog.text
    (event,) = events.since(0)
    assert event.text == (
        "ordered by token ops\\n, certificate CN=a\\nb at 192.0.2.1:5: set redis://***@h/0: refused: password=***"
    )


def test_a_flood_of_refusals_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RefusalLog()
    for number in range(1000):
        refusals.warn("refused", 1.0 + number / 100)
    assert [record.getMessage() for record in caplog.records] == ["refused"]
    refusals.warn("refused again", 12.0)
    assert caplog.records[-1].getMessage() == "refused again (999 more like it since the last such warning)"
