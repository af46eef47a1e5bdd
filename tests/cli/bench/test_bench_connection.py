from __future__ import annotations

from time import monotonic_ns

import pytest
from bench_peers import WAITED_NS, FakeOwner, asked

from balance.cli.bench.connection import IDLE, EchoConnection, Shared
from balance.cli.bench.histogram import Histogram

SENT = b"0123456789"


def made(*, reply_size: int | None = None, is_closed_loop: bool = False) -> tuple[FakeOwner, Shared, EchoConnection]:
    owner = FakeOwner()
    shared = Shared(owner, SENT, is_closed_loop=is_closed_loop, reply_size=reply_size)
    return owner, shared, EchoConnection(shared)


def test_an_echo_is_read_whole_wherever_it_is_cut() -> None:
    for cut in range(1, len(SENT)):
        owner, shared, connection = made()
        asked(connection)
        connection.data_received(SENT[:cut])
        assert owner.answers == 0
        connection.data_received(SENT[cut:])
        assert (owner.answers, sum(shared.counts), connection.left) == (1, 1, IDLE)


def test_a_closed_loop_goes_on_until_its_budget_is_spent() -> None:
    owner, shared, connection = made(is_closed_loop=True)
    transport = asked(connection, budget=2)
    for _ in range(3):
        connection.data_received(SENT)
    assert (len(transport.written), owner.answers, sum(shared.counts)) == (3, 1, 3)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"0123456x89", "not what was sent"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers HTTP"),
        (SENT + b"0", "not what was sent"),
    ],
)
def test_what_is_no_echo_is_an_error(reply: bytes, kind: str) -> None:
    owner, _, connection = made()
    asked(connection)
    connection.data_received(reply)
    connection.connection_lost(None)
    assert (owner.losses, owner.answers) == ([kind], 0)


def test_a_reply_of_a_known_size_may_be_any() -> None:
    owner, _, connection = made(reply_size=3)
    asked(connection)
    connection.data_received(b"ab")
    connection.data_received(b"c")
    assert owner.answers == 1
    connection.send(monotonic_ns())
    connection.data_received(b"abcd")
    connection.connection_lost(None)
    assert owner.losses == ["more than was asked"]


def test_a_latency_is_counted_from_when_the_request_was_planned() -> None:
    _, shared, connection = made()
    asked(connection)
    connection.data_received(SENT)
    assert Histogram.of(shared.counts).min_ns >= WAITED_NS
