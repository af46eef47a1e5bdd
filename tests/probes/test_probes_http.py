"""The HTTP health check over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from balance.config.model import BackendConfig, HealthCheck
from balance.errors import ProtocolError
from balance.model import Address
from balance.probes.http import LIMIT_BYTES, Reply, probe
from balance.probes.result import Result
from balance.version import VERSION

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ask(serve: Serve, **check: Any) -> Result:
    """One probe of a server that treats its connection as `serve` does."""

    async def talk() -> Result:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            settings = {"enabled": True, "kind": "http", "timeout_s": 5.0} | check
            return await probe(HealthCheck(**settings), BackendConfig("b1", Address("127.0.0.1", port)))

    return asyncio.run(talk())


def answering(*pieces: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nhea\r\n", b"4\r\nlthy\r\n", b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("pieces", "check", "is_ok", "reason"),
    [
        ([OK], {}, True, "status 200"),
        ([b"HTTP/1.0 200 OK\r\n\r\nhello"], {}, True, "status 200"),
        ([b"HTTP/1.1 503 Busy\r\n\r\n"], {}, False, "status 503, expected 200"),
        ([b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"], {}, False, "status 302, expected 200"),
        (
            [b"HTTP/1.1 500 Oops\r\n\r\n"],
            {"expected_status": ((200, 299), (401, 401))},
            False,
            "status 500, expected 200-299 or 401",
        ),
        ([b"HTTP/1.1 401 Who\r\n\r\n"], {"expected_status": ((200, 299), (401, 401))}, True, "status 401"),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n", OK], {}, True, "status 200"),
        ([b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], {}, False, "status 101, expected 200"),
        ([OK], {"expected_body": "ell"}, True, "status 200"),
        ([OK], {"expected_body": "bye"}, False, "status 200, but the body does not contain 'bye'"),
        (CHUNKED, {"expected_body": "healthy"}, True, "status 200"),
        ([b"HTTP/1.1 200 OK\r\n\r\nuntil ", b"close"], {"expected_body": "until close"}, True, "status 200"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"], {"method": "HEAD"}, True, "status 200"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], {"expected_status": ((204, 204),)}, True, "status 204"),
        ([b""], {}, False, "closed without an answer"),
        ([b"HTTP/1.1 200 OK\r\nX: "], {}, False, "closed before the answer was complete"),
    ],
)
def test_a_reply_is_judged_by_status_and_body(pieces: list[bytes], check: dict[str, Any], is_ok: bool, reason: str) -> None:
    assert ask(answering(*pieces), **check)[:2] == (is_ok, reason)


def test_an_answer_in_another_protocol_is_named_as_such() -> None:
    result = ask(answering(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert not result.is_ok
    assert result.reason == "the answer is refused, as requests' would be: 'SSH-2.0-OpenSSH_9.2' is not a status line"


REFUSED = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "Content-Length"),
    (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "a bare CR or LF in the head"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\nX: y\r\n\r\nhello", "a bare CR or LF in the head"),
    (b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 5\r\n\r\nhello", ""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", ""),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"Content-Length: 5\r\n\r\nhello", "more than 200 header fields"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ""),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 101 + OK, "interim replies without end"),
]


@pytest.mark.parametrize(("reply", "rule"), REFUSED)
def test_what_the_data_path_refuses_is_no_good_answer_and_the_rule_is_named(reply: bytes, rule: str) -> None:
    result = ask(answering(reply))
    assert (result.is_ok, result.is_explicit) == (False, True)
    assert result.reason.startswith("the answer is refused, as requests' would be: ")
    assert rule.lower() in result.reason.lower()


@pytest.mark.parametrize("reply", [OK, b"".join(CHUNKED), b"HTTP/1.1 204 No Content\r\n\r\n", *(each for each, _ in REFUSED)])
def test_it_makes_no_difference_how_a_reply_is_cut(reply: bytes) -> None:
    def read(pieces: Iterable[bytes]) -> tuple[int, bytes] | str:
        made = Reply("GET")
        try:
            for piece in pieces:
                made.feed(piece)
        except ProtocolError:
            return "refused"
        return made.status, bytes(made.body)

    whole = read([reply])
    assert read(reply[at : at + 1] for at in range(len(reply))) == whole
    for cut in range(len(reply)):
        assert read([reply[:cut], reply[cut:]]) == whole


def test_a_body_without_end_does_not_make_a_backend_unwell_and_one_that_breaks_off_does() -> None:
    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await reader.read()
        await reader.read()

    assert ask(stream, timeout_s=0.1)[:2] == (True, "status 200")
    assert ask(stream, timeout_s=0.1, expected_body="ko")[:2] == (False, "no answer within 0.1s")
    assert ask(answering(OK[:-1]))[:2] == (False, "closed before the answer was complete")


def test_a_server_that_never_answers_is_given_up_at_the_timeout() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    result = ask(hang, timeout_s=0.1)
    assert result[:2] == (False, "no answer within 0.1s")
    assert 0.09 < result.duration_s < 2.0


def test_a_server_that_drips_is_given_up_at_the_timeout() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"a: b\r\n")
            await asyncio.sleep(0.01)

    assert ask(drip, timeout_s=0.15)[:2] == (False, "no answer within 0.15s")


@pytest.mark.parametrize(
    ("head", "check", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", {}, "the end of the header is not within the first 64 KB of the answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", {"expected_body": "y"}, "'y' is not within the first 64 KB of the answer"),
    ],
)
def test_no_more_than_the_limit_is_read_of_an_endless_answer(head: bytes, check: dict[str, Any], reason: str) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head)
        try:
            while not writer.is_closing():
                writer.write(b"x" * 4096)
                await writer.drain()
                sent += 4096
        except ConnectionError:
            return

    assert ask(flood, **check)[:2] == (False, reason)
    assert sent >= LIMIT_BYTES


def test_the_request_carries_the_path_the_host_and_the_users_own_fields() -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n"))
        writer.write(OK)

    ask(serve, path="/up?deep=1", method="OPTIONS", host="app.example", headers=(("X-Token", "t"), ("accept", "a/b")))
    assert seen == [
        "OPTIONS /up?deep=1 HTTP/1.1",
        "Host: app.example",
        f"User-Agent: balance-health/{VERSION}",
        "accept: a/b",
        "X-Token: t",
        "Connection: close",
        "",
        "",
    ]


TOLERATED = [
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("reply", TOLERATED)
def test_a_check_tolerates_what_its_pools_listeners_do(reply: bytes) -> None:
    assert not ask(answering(reply), expected_body="hello").is_ok
    assert ask(answering(reply), expected_body="hello", strictness="tolerant").is_ok
