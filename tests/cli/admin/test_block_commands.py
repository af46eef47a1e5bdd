"""`balance block`, `unblock` and `blocklist`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

Say = Callable[..., tuple[int, str, str]]


def test_an_address_is_blocked_shown_and_unblocked(say: Say) -> None:
    assert say("block", "192.0.2.1", "--for", "10m") == (0, "block 192.0.2.1 for 600s\n", "")
    assert say("block", "2001:db8::/32", "198.51.100.7") == (0, "block 2001:db8::/32, 198.51.100.7\n", "")
    status, out, _ = say("blocklist")
    assert status == 0
    assert out.splitlines()[0].split() == ["BLOCKED", "STILL"]
    assert any(line.split() == ["2001:db8::/32", "for", "ever"] for line in out.splitlines())
    assert "LISTENER" in out
    assert say("unblock", "192.0.2.1", "198.51.100.7") == (0, "unblock 192.0.2.1, 198.51.100.7\n", "")
    assert [each["address"] for each in json.loads(say("blocklist", "--json")[1])["blocked"]] == ["2001:db8::/32"]
    assert json.loads(say("unblock", "2001:db8::/32", "--json")[1])["done"] is True
    assert say("blocklist")[1].startswith("nobody is blocked at run time\n")


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("block", "x"), 1, "balance: 'x' is not an address"),
        (("unblock", "192.0.2.1"), 1, "balance: 192.0.2.1 is not blocked"),
        (("block", "192.0.2.1", "--for", "soon"), 2, "is not a duration"),
        (("block",), 2, "Missing argument"),
    ],
)
def test_a_wrong_order_is_refused(say: Say, words: tuple[str, ...], status: int, error: str) -> None:
    done = say(*words)
    assert done[0] == status
    assert error in done[2]
