"""Both tables through the real data path: the verdict is the pure floor's, whether the bytes come in one read or in many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from between import NO_REUSE, PATIENCE_S, Backend, Client, Site
from request_cases import CASES, NEXT, OK, Case, Passed, got_next
from response_cases import CUT, REPLY_CASES, Relayed, ReplyCase

AT_ONCE = 50  # clients
# Refused before their head is complete, which only a connection can do: the pure floor is never asked.
ENDLESS = (
    Case("bare LFs only", b"GET / HTTP/1.1\nHost: a\n\n", (400,), "2.2"),
    Case("bare LF in a head that has not ended", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n", (400,), "2.2"),
    Case("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,), "3"),
    Case("a line that begins with a space", b" GET", (400,), "2.2"),
    Case("a request line without an end", b"GET /" + b"x" * 9000, (414,), "3"),
    Case("a method without an end", b"X" * 65, (501,), "3"),
    Case("a method without an end, and long", b"X" * 9000, (501,), "3"),
    Case("what is no method, without an end", b"X" * 60 + b"@" * 5, (400,), "3"),
    Case("one, then a method without an end", NEXT + b"X" * 65, (got_next, 501), "3"),
    Case("fields without an end", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 6000, (431,), "6585 5"),
    Case("a field without an end", b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000, (431,), "6585 5"),
    Case("one, then a TLS handshake", NEXT + b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (got_next, 400), "3"),
)
ALL = (*CASES, *ENDLESS)
SHORT = [case for case in ALL if len(case.sent) < 1500]
SHORT_REPLIES = [case for case in REPLY_CASES if len(case.sent) < 1500]
PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n"

Verdict = tuple[Passed | str | int, ...] | str


async def play(site: Site, number: int, case: Case, byte_by_byte: bool) -> Verdict:
    """What the backend got of a case, and how it ended for the client."""
    client = await Client.connect(site, number)
    try:
        await client.send(case.sent, byte_by_byte=byte_by_byte)
        expected = [message for message in case.verdict if isinstance(message, Passed)]
        end: str | int = case.verdict[-1] if not isinstance(case.verdict[-1], Passed) else OK
        closes = False
        for message in expected:
            reply = await client.reply(message.method)
            if reply is None or reply.status != 200:
                return f"{message} was answered by {reply}"
            closes = reply.fields.get(b"connection") == b"close"
        if isinstance(end, int):
            refusal = await client.reply(b"HEAD" if case.sent.startswith(b"HEAD") else b"GET")
            if refusal is None or not refusal.is_whole or refusal.fields.get(b"connection") != b"close":
                return f"refused by {refusal}"
            end = refusal.status
            closes = True
        elif end == OK and not closes:  # between two messages: one more is answered
            await client.send(PROBE)
            reply = await client.reply(b"GET")
            if reply is None or reply.status != 200:
                return f"another request was answered by {reply}"
            if site.passed[client.address].pop() != Passed(b"GET", b"/probe"):
                return f"another request came as part of {site.passed[client.address]}"
        if not closes:
            client.end()
        if not await client.is_ended():
            return "more than was due"
        return (*site.passed[client.address], end)
    finally:
        client.close()


async def play_all(byte_by_byte: bool) -> tuple[dict[str, Verdict], list[bytes]]:
    site = Site()
    await site.open()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, case: Case) -> Verdict:
        async with gate:
            try:
                return await asyncio.wait_for(play(site, number, case, byte_by_byte), PATIENCE_S)
            except TimeoutError:
                return "nothing came"

    cases = SHORT if byte_by_byte else ALL
    verdicts = await asyncio.gather(*(one(number, case) for number, case in enumerate(cases)))
    await site.close()
    return {case.name: verdict for case, verdict in zip(cases, verdicts, strict=True)}, site.malformed


Played = tuple[dict[str, Verdict], list[bytes]]


@pytest.fixture(scope="module")
def whole() -> Iterator[Played]:
    yield uvloop.run(play_all(byte_by_byte=False))


@pytest.fixture(scope="module")
def split() -> Iterator[Played]:
    yield uvloop.run(play_all(byte_by_byte=True))


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_request_in_one_read_has_the_table_s_verdict(case: Case, whole: Played) -> None:
    assert whole[0][case.name] == case.verdict


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_request_byte_by_byte_has_the_same_verdict(case: Case, split: Played) -> None:
    assert split[0][case.name] == case.verdict


def test_backend_never_got_a_head_that_a_strict_reader_refuses(whole: Played, split: Played) -> None:
    assert whole[1] == split[1] == []


# --- replies ------------------------------------------------------------------------------------------


class Script:
    """Answers each client with its case's bytes, and closes."""

    def __init__(self, cases: list[ReplyCase], byte_by_byte: bool) -> None:
        self._by_client: dict[str, ReplyCase] = {}
        self._cases = cases
        self._byte_by_byte = byte_by_byte
        self._writing: set[asyncio.Task[None]] = set()

    def expect(self, address: str, case: ReplyCase) -> None:
        self._by_client[address] = case

    def __call__(self, backend: Backend, method: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._write(backend, self._by_client[backend.client].sent))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, backend: Backend, sent: bytes) -> None:
        step = 1 if self._byte_by_byte else max(1, len(sent))
        for at in range(0, len(sent), step):
            if backend.transport.is_closing():
                return
            backend.transport.write(sent[at : at + step])
            await asyncio.sleep(0)
        backend.transport.close()


async def play_reply(site: Site, script: Script, number: int, case: ReplyCase) -> Relayed | str | int:
    """What the client is told of what a backend sends."""
    client = await Client.connect(site, number)
    script.expect(client.address, case)
    try:
        await client.send(case.method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = await client.reply(case.method)
        if reply is None:
            return "no reply"
        if not reply.is_whole:
            return CUT
        if reply.status == 502:
            return 502
        if reply.fields.get(b"connection") == b"close":
            return Relayed(reply.status, reply.body) if await client.is_ended() else "more than was due"
        client.end()
        return Relayed(reply.status, reply.body) if await client.is_ended() else "more than was due"
    finally:
        client.close()


async def play_replies(byte_by_byte: bool) -> dict[str, Relayed | str | int]:
    cases = SHORT_REPLIES if byte_by_byte else list(REPLY_CASES)
    script = Script(cases, byte_by_byte)
    site = Site(script)
    await site.open(NO_REUSE)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, case: ReplyCase) -> Relayed | str | int:
        async with gate:
            try:
                return await asyncio.wait_for(play_reply(site, script, number, case), PATIENCE_S)
            except TimeoutError:
                return "nothing came"

    told = await asyncio.gather(*(one(number, case) for number, case in enumerate(cases)))
    await site.close()
    return {case.name: verdict for case, verdict in zip(cases, told, strict=True)}


Told = dict[str, Relayed | str | int]


@pytest.fixture(scope="module")
def whole_replies() -> Told:
    return uvloop.run(play_replies(byte_by_byte=False))


@pytest.fixture(scope="module")
def split_replies() -> Told:
    return uvloop.run(play_replies(byte_by_byte=True))


@pytest.mark.parametrize("case", REPLY_CASES, ids=lambda case: case.name)
def test_reply_in_one_read_has_the_table_s_verdict(case: ReplyCase, whole_replies: Told) -> None:
    told = whole_replies[case.name]
    # What proves broken before anything of it has gone on can still be answered in its place.
    assert told == case.verdict or (case.verdict == CUT and told == 502)


@pytest.mark.parametrize("case", SHORT_REPLIES, ids=lambda case: case.name)
def test_reply_byte_by_byte_has_the_same_verdict(case: ReplyCase, split_replies: Told) -> None:
    assert split_replies[case.name] == case.verdict
