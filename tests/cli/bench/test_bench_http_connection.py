from __future__ import annotations

from time import monotonic_ns

import pytest
from bench_peers import FakeOwner, FakeTransport, asked

from balance.cli.bench.connection import IDLE
from balance.cli.bench.http_connection import HttpConnection, HttpShared, is_framed

HEAD = b"HTTP/1.1 200 OK\r\nDate: Sun, 29 Nov 2026 17:00:00 GMT\r\n"
LENGTH = HEAD + b"Content-Length: 5\r\nX-Request-Id: 0001\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
LAST = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok"
UNTIL_CLOSE = HEAD + b"\r\nall of it"


def made(*, is_closed_loop: bool = False) -> tuple[FakeOwner, HttpShared, HttpConnection]:
    owner = FakeOwner()
    shared = HttpShared(owner, b"GET / HTTP/1.1\r\n\r\n", is_closed_loop=is_closed_loop)
    return owner, shared, HttpConnection(shared)


@pytest.mark.parametrize("reply", [LENGTH, CHUNKED, EMPTY, INTERIM, LAST, REFUSAL])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_reply_is_read_whole_wherever_it_is_cut(reply: bytes, is_known: bool) -> None:
    for cut in range(1, len(reply)):
        owner, shared, connection = made()
        if is_known:
            shared.learn(LENGTH, 200)
        asked(connection)
        connection.data_received(reply[:cut])
        assert owner.answers == 0, cut
        connection.data_received(reply[cut:])
        assert (owner.answers, owner.losses, connection.began, connection.left) == (1, [], 0, IDLE), cut
        assert sum(shared.counts) == (reply != REFUSAL)
        assert sum(shared.status_counts().values()) == 1


@pytest.mark.parametrize("reply", [LENGTH, CHUNKED, INTERIM])
def test_a_reply_may_come_byte_by_byte(reply: bytes) -> None:
    owner, shared, connection = made()
    asked(connection)
    for place in range(len(reply)):
        connection.data_received(reply[place : place + 1])
    assert (owner.answers, sum(shared.counts)) == (1, 1)


def test_a_reply_like_one_before_is_known_by_its_shape() -> None:
    owner, shared, connection = made(is_closed_loop=True)
    transport = asked(connection, budget=3)
    connection.data_received(LENGTH)
    connection.send(monotonic_ns())
    for number in range(4):
        connection.data_received(LENGTH.replace(b"0001", b"%04d" % number))
    assert (owner.answers, len(transport.written), sum(shared.counts)) == (2, 5, 5)
    assert [shape.hits for shape in shared.shapes.values()] == [4]
    assert shared.status_counts() == {200: 5}
    assert shared.bytes_received() == 5 * len(LENGTH)


@pytest.mark.parametrize(
    "other",
    [
        LENGTH.replace(b"Length: 5", b"Length: 6").replace(b"hello", b"hello!"),
        LENGTH.replace(b"Content-Length: 5", b"X-Some-Number : 5".replace(b" :", b":") + b" ")[: -len(b"hello")] + b"",
        REFUSAL,
        CHUNKED,
    ],
)
def test_what_only_looks_like_it_is_not_taken_for_it(other: bytes) -> None:
    owner, shared, connection = made()
    shared.learn(LENGTH, 200)
    asked(connection)
    connection.data_received(other)
    assert next(iter(shared.shapes.values())).hits == 0
    if b"X-Some-Number" in other:  # without a length it goes on until the close
        assert owner.answers == 0
        connection.connection_lost(None)
    assert owner.answers == 1


@pytest.mark.parametrize("reply", [REFUSAL, CHUNKED, LAST, UNTIL_CLOSE, EMPTY, LENGTH + b"x", LENGTH[:-1]])
def test_only_a_whole_good_reply_with_a_length_has_a_shape(reply: bytes) -> None:
    _, shared, _ = made()
    shared.learn(reply, 503 if reply == REFUSAL else 200)
    assert shared.shapes == {}


def test_shapes_are_bounded() -> None:
    _, shared, _ = made()
    for number in range(200):
        shared.learn(HEAD + b"X: " + b"x" * number + b"\r\nContent-Length: 1\r\n\r\nx", 200)
    assert len(shared.shapes) == 64


def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    owner, shared, connection = made()
    asked(connection)
    connection.data_received(UNTIL_CLOSE)
    connection.eof_received()
    connection.connection_lost(None)
    assert (owner.answers, owner.losses, sum(shared.counts)) == (1, [], 1)


@pytest.mark.parametrize(
    ("bytes_got", "error", "kind"),
    [
        (b"", None, "closed without a reply"),
        (b"", ConnectionResetError(), "reset"),
        (LENGTH[:-1], None, "closed within a reply"),
        (LENGTH[:30], ConnectionResetError(), "reset within a reply"),
        (CHUNKED[:-2], None, "closed within a reply"),
    ],
)
def test_a_connection_that_ends_before_its_reply_is_an_error(bytes_got: bytes, error: Exception | None, kind: str) -> None:
    owner, shared, connection = made()
    asked(connection)
    if bytes_got:
        connection.data_received(bytes_got)
    connection.connection_lost(error)
    assert (owner.losses, owner.answers, sum(shared.counts)) == ([kind], 0, 0)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answers no HTTP"),
        (LENGTH + LENGTH, "more than was asked"),
        (LENGTH + b"H", "more than was asked"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "bad reply"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "upgrade"),
    ],
)
def test_what_is_no_reply_to_the_request_ends_the_connection(reply: bytes, kind: str) -> None:
    owner, _, connection = made()
    transport = asked(connection)
    connection.data_received(reply)
    connection.connection_lost(None)
    assert transport.is_aborted
    assert owner.answers == 0
    assert [each.partition(":")[0] for each in owner.losses] == [kind]


def test_more_than_the_known_length_is_an_error_too() -> None:
    owner, shared, connection = made()
    shared.learn(LENGTH, 200)
    asked(connection)
    connection.data_received(LENGTH + b"!")
    connection.connection_lost(None)
    assert owner.losses == ["more than was asked"]


def test_a_head_without_an_end_is_not_kept_for_ever() -> None:
    _, _, connection = made()
    transport = asked(connection)
    connection.data_received(b"HTTP/1.1 200 OK\r\n")
    for _ in range(40):
        if not transport.is_aborted:
            connection.data_received(b"X-Field: " + b"x" * 65_000 + b"\r\n")
    assert transport.is_aborted


def test_what_an_idle_connection_is_told_counts_for_nothing() -> None:
    """HAProxy's 408 to a connection that asked nothing."""
    owner, shared, connection = made()
    transport = FakeTransport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(b"HTTP/1.1 408 Request Time-out\r\nConnection: close\r\n\r\n")
    assert transport.is_aborted
    assert (owner.answers, sum(shared.counts), shared.statuses) == (0, 0, {})


def test_a_server_that_says_close_gets_no_other_request_there() -> None:
    owner, shared, connection = made(is_closed_loop=True)
    transport = asked(connection, budget=5)
    connection.data_received(LAST)
    assert (transport.is_closed, connection.is_gone, len(transport.written), shared.budget) == (True, True, 1, 5)
    connection.connection_lost(None)
    assert owner.losses == []


@pytest.mark.parametrize(
    ("heads", "framed"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody", False),
        (b"HTTP/1.0 200 OK\r\nX-Content-Length: 1\r\n\r\n", False),
    ],
)
def test_only_the_final_head_says_where_the_body_ends(heads: bytes, framed: bool) -> None:
    assert is_framed(heads) is framed
