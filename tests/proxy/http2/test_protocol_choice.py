"""Which protocol a connection speaks: by its first bytes without TLS, by ALPN with it."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import pytest
from http2_client import connect
from pem_files import self_signed
from rawclient import Message, get, ok
from stage import Stage, serve, until
from tls_client import client_context, with_client

from balance.config.model import HttpConfig, Timeouts
from balance.http2.frames import PREFACE
from balance.model import Why
from balance.tls.settings import ServerTls

H2C = HttpConfig(h2c=True)
TLS = ServerTls(True, (self_signed("a.example").certificate,), alpn_protocols=("h2", "http/1.1"))


def said(request: Message) -> bytes:
    return ok(request.target.encode())


async def test_first_bytes_choose_without_tls(stage: Stage) -> None:
    stage.backend(serve(said))
    await stage.open(http=H2C)
    client = await connect(stage)
    assert (await client.reply(await client.request("/two"))).body == b"/two"
    old = await stage.client()
    await old.send(get("/one"))
    assert (await old.reply()).body == b"/one"


async def test_preface_may_come_byte_by_byte(stage: Stage) -> None:
    stage.backend(serve(said))
    await stage.open(http=H2C)
    client = await connect(stage)
    wire = await stage.client()
    client.wire, first = wire, client.wire
    first.close()
    for byte in PREFACE:
        await wire.send(bytes((byte,)))
        await asyncio.sleep(0)
    client.h2.clear_outbound_data_buffer()
    await wire.send(b"\0\0\0\4\0\0\0\0\0")
    client.replies.clear()
    assert (await client.reply(await client.request("/late"))).body == b"/late"


@pytest.mark.parametrize("method", ["P", "PR", "PRI", "PROPFIND", "PRI-NOT"])
async def test_what_begins_like_the_preface_and_is_none_is_http1(stage: Stage, method: str) -> None:
    stage.backend(serve(said))
    await stage.open(http=H2C)
    wire = await stage.client()
    await wire.send(method[:1].encode())
    await wire.send(method[1:].encode() + b" /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await wire.reply()).line.split(" ")[1] == ("501" if method == "PRI" else "200")


async def test_nothing_of_http2_is_spoken_where_it_is_off(stage: Stage) -> None:
    await stage.open()
    wire = await stage.client()
    await wire.send(PREFACE)
    reply = await wire.rest()
    assert reply.startswith(b"HTTP/1.1 505 ")
    assert b"http.h2c" in reply


async def test_upgrade_from_http1_is_not_taken(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open(http=H2C)
    wire = await stage.client()
    await wire.send(get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"))
    assert (await wire.reply()).status == 200
    assert (seen[0].get("upgrade"), seen[0].get("http2-settings")) == (None, None)


async def test_preface_that_trickles_has_one_deadline_from_accept_on(stage: Stage) -> None:
    await stage.open(http=H2C, timeouts=Timeouts(client_header_s=3.0))
    wires = [await stage.client() for _ in range(3)]
    for wire, begin in zip(wires, (PREFACE[:10], PREFACE, b""), strict=True):
        await wire.send(begin)
    for wire in wires:
        await wire.has_ended()
    await until(lambda: stage.whys == {Why.HEADER_TIMEOUT: 2})


async def spoken(stage: Stage, *alpn: str) -> tuple[str | None, bytes]:
    """What was agreed on, and the first bytes of the answer to a request of HTTP/1.1."""

    def exchange(client: ssl.SSLSocket) -> tuple[str | None, bytes]:
        agreed = client.selected_alpn_protocol()
        client.sendall(PREFACE + b"\0\0\0\4\0\0\0\0\0" if agreed == "h2" else get("/"))
        return agreed, client.recv(9)

    return await with_client(stage, exchange, context=client_context(alpn))


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("h2",), "h2"), (("http/1.1",), "http/1.1"), ((), None)],
)
async def test_alpn_chooses_with_tls(stage: Stage, offered: tuple[str, ...], agreed: str | None) -> None:
    stage.backend(serve(said))
    await stage.open(tls=TLS)
    protocol, first = await spoken(stage, *offered)
    assert protocol == agreed
    assert first[3:4] == b"\4" if agreed == "h2" else first == b"HTTP/1.1 "


async def test_a_listener_without_h2_speaks_none(stage: Stage) -> None:
    stage.backend(serve(said))
    await stage.open(tls=replace(TLS, alpn_protocols=("http/1.1",)))
    assert await spoken(stage, "h2", "http/1.1") == ("http/1.1", b"HTTP/1.1 ")


async def test_a_weak_suite_is_refused_for_http2(stage: Stage) -> None:
    """RFC 9113 section 9.2.2: such a connection is of no use, and says so."""
    suite = "ECDHE-ECDSA-AES128-SHA256"
    await stage.open(tls=replace(TLS, max_version="1.2", cipher_suites=(suite,)))

    def exchange(client: ssl.SSLSocket) -> bytes:
        data = b""
        while more := client.recv(4096):
            data += more
        return data

    data = await with_client(stage, exchange, context=client_context(("h2",), ciphers=suite))
    assert b"\0\0\0\x0cHTTP/2 is not spoken with this cipher suite" in data
    assert stage.whys == {Why.HTTP2_ERROR: 1}
