"""Nothing slips from one message into the next: not after a refusal, not past a switch, not over a parked connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from between import PATIENCE_S, Backend, Client, Site, answer_ok
from request_cases import CHUNKED, HELLO, NEXT, Passed, chunked, got_next

from balance.config.model import HttpConfig, Limits

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def converse(
    talk: Callable[[Site, Client], Awaitable[None]],
    answer: Callable[[Backend, bytes], None] = answer_ok,
    http: HttpConfig | None = None,
) -> None:
    """Let one client talk through a Balance of its own."""

    async def whole() -> None:
        site = Site(answer)
        await site.open(http)
        client = await Client.connect(site, 0)
        try:
            await asyncio.wait_for(talk(site, client), PATIENCE_S)
        finally:
            client.close()
            await site.close()

    uvloop.run(whole())


@pytest.mark.parametrize("following", [NEXT, b"X" * 10 + NEXT, b""], ids=["whole", "cut", "none"])
def test_refused_body_ends_the_connection_even_when_its_end_was_seen(following: bytes) -> None:
    async def talk(site: Site, client: Client) -> None:
        await client.send(CHUNKED + HELLO + following)
        reply = await client.reply(b"POST")
        assert reply is not None
        assert (reply.status, reply.fields.get(b"connection")) == (413, b"close")
        assert await client.is_ended()
        assert not site.passed

    converse(talk, http=HttpConfig(limits=Limits(body_bytes=4)))


def test_chunks_cut_short_are_no_whole_body_to_a_client_that_reads_to_the_end() -> None:
    def answer(backend: Backend, method: bytes) -> None:
        backend.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        backend.transport.close()

    async def talk(site: Site, client: Client) -> None:
        await client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        reply = await client.reply(b"GET")
        assert reply is None or not reply.is_whole

    converse(talk, answer)


def test_whole_chunks_are_a_whole_body_to_a_client_that_reads_to_the_end() -> None:
    def answer(backend: Backend, method: bytes) -> None:
        backend.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX: y\r\n\r\n")

    async def talk(site: Site, client: Client) -> None:
        await client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        reply = await client.reply(b"GET")
        assert reply is not None
        assert (reply.body, reply.is_whole, b"transfer-encoding" in reply.fields) == (b"hello", True, False)

    converse(talk, answer)


@pytest.mark.parametrize("switched_to", [b"h2c", b"websocket, h2c", b"chat"])
def test_switch_to_what_the_client_did_not_offer_is_no_switch(switched_to: bytes) -> None:
    def answer(backend: Backend, method: bytes) -> None:
        backend.transport.write(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\nearly" % switched_to)

    async def talk(site: Site, client: Client) -> None:
        await client.send(UPGRADE)
        reply = await client.reply(b"GET")
        assert reply is not None
        assert reply.status == 502

    converse(talk, answer)


def test_bytes_behind_an_upgrade_that_is_declined_are_requests() -> None:
    async def talk(site: Site, client: Client) -> None:
        await client.send(UPGRADE + NEXT)
        for _ in range(2):
            reply = await client.reply(b"GET")
            assert reply is not None
            assert reply.status == 200
        assert [passed.target for passed in site.passed[client.address]] == [b"/", b"/next"]

    converse(talk)


def test_reply_before_the_body_has_ended_resets_nobody_who_is_still_sending() -> None:
    async def talk(site: Site, client: Client) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", site.port)) as sock:
            sock.setblocking(False)
            await loop.sock_sendall(sock, b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
            backend = await site.next_backend()
            backend.transport.write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
            await backend.gone
            for _ in range(50):
                await loop.sock_sendall(sock, b"x" * 65536)
            reply = await loop.sock_recv(sock, 65536)
            assert (reply[:12], reply[-6:]) == (b"HTTP/1.1 403", b"\r\n\r\nno")
            assert b"\r\nConnection: close\r\n" in reply
            assert await loop.sock_recv(sock, 65536) == b""
        assert not site.passed

    converse(talk)


def test_bytes_on_a_parked_connection_answer_nobody() -> None:
    async def talk(site: Site, client: Client) -> None:
        await client.send(NEXT)
        assert await client.reply(b"GET") is not None
        parked = await site.next_backend()
        parked.transport.write(POISON)
        await asyncio.wait_for(parked.gone, 2.0)  # sooner than it would be too old
        await client.send(NEXT)
        reply = await client.reply(b"GET")
        assert reply is not None
        assert reply.body == b"ok"
        assert site.passed[client.address] == [got_next, got_next]

    converse(talk)


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 304 X\r\n\r\n",
        b"HTTP/1.1 204 X\r\n\r\n",
    ],
    ids=["200", "chunked", "304", "204"],
)
def test_second_reply_in_the_same_bytes_answers_nobody(first: bytes) -> None:
    answers = iter((first + POISON, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))

    def answer(backend: Backend, method: bytes) -> None:
        backend.transport.write(next(answers))

    async def talk(site: Site, client: Client) -> None:
        await client.send(NEXT + NEXT)
        for _ in range(2):
            reply = await client.reply(b"GET")
            assert reply is not None
            assert reply.body in (b"ok", b"")
        assert site.arrived.qsize() == 2  # what says too much is not trusted with another request

    converse(talk, answer)


def test_body_in_a_reply_to_head_answers_nobody() -> None:
    def answer(backend: Backend, method: bytes) -> None:
        body = POISON if method == b"HEAD" else b"ok"
        backend.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def talk(site: Site, client: Client) -> None:
        await client.send(NEXT.replace(b"GET", b"HEAD") + NEXT)
        assert await client.reply(b"HEAD") is not None
        reply = await client.reply(b"GET")
        assert reply is not None
        assert reply.body == b"ok"
        assert site.arrived.qsize() == 2

    converse(talk, answer)


def test_requests_of_two_clients_share_a_connection_and_keep_apart() -> None:
    async def talk(site: Site, client: Client) -> None:
        other = await Client.connect(site, 1)
        for sender, data, method in ((client, CHUNKED + HELLO, b"POST"), (other, NEXT, b"GET"), (client, NEXT, b"GET")):
            await sender.send(data)
            assert await sender.reply(method) is not None
        assert len(site.backends) == 1
        assert site.passed == {client.address: [chunked, got_next], other.address: [Passed(b"GET", b"/next")]}
        other.close()

    converse(talk)
