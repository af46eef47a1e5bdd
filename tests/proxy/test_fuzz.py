"""Requests that went through the mincer, over the real data path: no backend ever gets what the client's bytes, read strictly,
did not contain, in that order; and whatever a client is answered is HTTP.

BALANCE_FUZZ_EXAMPLES=100000 for a longer run than the long one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import uvloop
from between import NO_REUSE, PATIENCE_S, Backend, Client, Site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from request_cases import CASES
from response_cases import REPLY_CASES, STRICT_AND_TOLERANT
from strict import Message, read_messages

from balance.http1.framing import Framing

LONG_RUN = "5000"
EXAMPLES = int(os.environ.get("BALANCE_FUZZ_EXAMPLES", "400"))
TURNS = 20  # of the loop, in which a request that is on its way reaches the backend

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)

SEEDS = [case.sent for case in CASES if 0 < len(case.sent) < 400 and isinstance(case.verdict[-1], str)]
REPLY_SEEDS = [case.sent for case in (*REPLY_CASES, *STRICT_AND_TOLERANT) if 0 < len(case.sent) < 400 and case.verdict != 502]
BITS = st.one_of(
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b";", b",", b"0", b"5", b"\x0b", b"\xff", b"\r\n\r\n", b"0\r\n\r\n",
        b"5\r\nhello\r\n",
         b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n",
         b"Host: b\r\n",
         b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n",
         b"Connection: upgrade, x\r\nUpgrade: TLS/1.2, h2c\r\n", b"Upgrade: tcp\r\n",
         b"RDG_IN_DATA", b"Trailer: X\r\n", b"Expect: 100-continue\r\n", b"X: y\r\n",
         b"X_Y: z\r\n",
         b"GET /z HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.0", b"HEAD", b"http://a", b"HTTP/1.1 200 OK\r\n", b"chunked",
         b"gzip, "]
    ),
    st.binary(min_size=1, max_size=3),
)  # fmt: skip


@st.composite
def minced(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed after a few insertions, deletions, repetitions and grafts of another seed."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 12)))
        match draw(st.sampled_from(["insert", "delete", "repeat", "graft", "line"])):
            case "insert":
                data = data[:at] + draw(BITS) + data[at:]
            case "delete":
                data = data[:at] + data[to:]
            case "repeat":
                data = data[:to] + data[at:]
            case "graft":
                other = draw(st.sampled_from(seeds))
                data = data[:at] + other[draw(st.integers(0, len(other))) :]
            case "line":
                lines = data.split(b"\r\n")
                lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
                data = b"\r\n".join(lines)
    return data


class Mincer:
    """A Balance that stays for all examples, and the loop that it runs in."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.reply = b""
        self.requests_site = Site()
        self.replies_sites = {strictness: Site(self._answer) for strictness in ("strict", "tolerant")}
        self.runner.run(self.requests_site.open())
        for strictness, site in self.replies_sites.items():
            self.runner.run(site.open(replace(NO_REUSE, strictness=strictness)))
        self.numbers = itertools.count()

    def _answer(self, backend: Backend, method: bytes) -> None:
        backend.transport.write(self.reply)
        backend.transport.close()

    def close(self) -> None:
        self.runner.run(self.requests_site.close())
        for site in self.replies_sites.values():
            self.runner.run(site.close())
        self.runner.close()


@pytest.fixture(scope="module")
def mincer() -> Iterator[Mincer]:
    made = Mincer()
    yield made
    made.close()


async def send(site: Site, number: int, data: bytes, contained: list[Message]) -> list[Message]:
    """What the backend got of a client's `data`. ValueError when the client got what is not HTTP."""
    client = await Client.connect(site, number)
    try:
        await client.send(data)
        answered = 0
        while answered < len(contained):
            reply = await client.reply(contained[answered].method)
            if reply is None:
                break
            if reply.status != 200:
                if not reply.is_whole and b"HEAD" not in data:
                    raise ValueError(f"a refusal without its end: {reply}")
                break
            if not reply.is_whole:
                raise ValueError(f"a reply without its end: {reply}")
            answered += 1
        else:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            client.end()
            reply = await client.reply(b"GET")
            if reply is not None and reply.status < 400:
                raise ValueError(f"a reply too many: {reply}")
        return [Message(method, target, body) for method, target, body, _ in site.passed.pop(client.address, [])]
    finally:
        client.close()


@fuzzed
@given(data=minced(SEEDS))
def test_backend_gets_nothing_that_the_client_did_not_send(mincer: Mincer, data: bytes) -> None:
    contained, _ = read_messages(data)
    site = mincer.requests_site
    sending = send(site, next(mincer.numbers) % 1_000_000, data, contained)
    passed = mincer.runner.run(asyncio.wait_for(sending, PATIENCE_S))
    assert passed == contained[: len(passed)]
    assert site.malformed == []


@fuzzed
@given(reply=minced(REPLY_SEEDS), method=st.sampled_from([b"GET", b"HEAD"]), minor=st.sampled_from([b"0", b"1"]),
       strictness=st.sampled_from(["strict", "tolerant"]))  # fmt: skip
def test_client_gets_http_whatever_a_backend_sends(
    mincer: Mincer, reply: bytes, method: bytes, minor: bytes, strictness: str
) -> None:
    site = mincer.replies_sites[strictness]

    async def ask() -> None:
        client = await Client.connect(site, next(mincer.numbers) % 1_000_000)
        try:
            await client.send(method + b" / HTTP/1.%b\r\nHost: a\r\n\r\n" % minor)
            told = await client.reply(method)
            assert told is not None
            if told.is_whole and told.status != 502:
                assert told.body in reply or b"\r\n" in reply.partition(b"\r\n\r\n")[2]  # the second: it came in chunks
            if told.fields.get(b"connection") != b"close":
                client.end()
            assert await client.is_ended()
        finally:
            client.close()

    mincer.reply = reply
    mincer.runner.run(asyncio.wait_for(ask(), PATIENCE_S))
    assert site.passed.popitem()[1][0].framing is Framing.NONE


@pytest.mark.long
@pytest.mark.timeout(600)
def test_five_thousand_of_each_find_nothing() -> None:
    environ = {**os.environ, "BALANCE_FUZZ_EXAMPLES": LONG_RUN}
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "--timeout", "590", __file__]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
