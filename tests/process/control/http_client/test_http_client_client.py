"""The HTTP client of control, and servers that answer badly: one line that says what was wrong, in bounded time and memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import pytest
from pem_files import read, self_signed
from scripted_server import CLOSE, HANG, RESET, ScriptedServer, reply

from balance.process.control.http_client.client import ClientError, HttpClient, Reply, server_of, tls_context
from balance.tls.settings import BackendTls, PemFile

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = [CHUNKED, *[b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 50]


def ask(*pieces: bytes | Sequence[bytes], within_s: float = 20.0, max_bytes: int = 100_000) -> Reply:
    """One request."""

    async def talk() -> Reply:
        async with ScriptedServer(*pieces) as server:
            client = HttpClient(server_of(server.url))
            return await client.request("GET", "/x?y=1", [("X-Token", "secret")], within_s=within_s, max_bytes=max_bytes)

    return asyncio.run(talk())


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([reply("200 OK", b"hello", "X-Consul-Index: 7")], 200, b"hello"),
        ([CHUNKED, b"5\r\nhe", b"llo\r\n0\r\n", b"\r\n"], 200, b"hello"),
        ([bytes([byte]) for byte in reply("200 OK", b"hello")], 200, b"hello"),
        ([b"HTTP/1.0 200 OK\r\n\r\nhello"], 200, b"hello"),
        ([reply("500 Internal Server Error", b"No cluster leader")], 500, b"No cluster leader"),
        ([reply("301 Moved Permanently", b"", "Location: http://elsewhere/")], 301, b""),
    ],
    ids=range(6),
)
def test_a_reply(pieces: list[bytes], status: int, body: bytes) -> None:
    got = ask(pieces)
    assert (got.status, got.body) == (status, body)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([CLOSE], "it closes the connection without an answer"),
        ([RESET], "breaks off|connection reset|without an answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", CLOSE], "its answer breaks off"),
        ([CHUNKED, b"5\r\nhello\r\n", CLOSE], "its answer breaks off"),
        ([CHUNKED, b"5\r\nhello\r\n", RESET], "its answer breaks off"),
        ([CHUNKED, b"what?\r\n"], "its answer is not HTTP that can be read"),
        ([b"SSH-2.0-OpenSSH\r\n"], "its answer is not HTTP that can be read"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, HANG], "its answer is not HTTP that can be read"),
        ([reply("200 OK", b"x", "Content-Encoding: gzip")], "compressed"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], "it switches protocols"),
        (ENDLESS, "its answer is longer than 97 KB"),
    ],
    ids=range(11),
)
def test_what_is_no_answer(pieces: list[bytes], words: str) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        ask(pieces)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("pieces", [[HANG], [b"HTTP/1.1 200 OK\r\n", HANG], [CHUNKED, b"1\r\nx\r\n", HANG]], ids=range(3))
def test_no_answer_ends_in_time(pieces: list[bytes]) -> None:
    with pytest.raises(ClientError, match=r"no answer within 0\.1s"):
        ask(pieces, within_s=0.1)


def test_what_is_sent() -> None:
    async def talk() -> str:
        async with ScriptedServer(reply("200 OK")) as server:
            client = HttpClient(server_of(server.url + "/prefix/"))
            await client.request("PATCH", "/x", [("X-Token", "t")], b"{}", within_s=20, max_bytes=100)
            with pytest.raises(ClientError, match="a line break"):
                await client.request("GET", "/x", [("X-Token", "t\r\nX-Evil: 1")], within_s=20, max_bytes=100)
            return server.asked[0].replace(f":{server.port}", "")

    lines = asyncio.run(talk()).split("\r\n")
    assert lines[:2] == ["PATCH /prefix/x HTTP/1.1", "Host: 127.0.0.1"]
    assert {"X-Token: t", "Content-Length: 2", "Connection: close"} <= set(lines)


def test_nobody_there() -> None:
    async def talk(url: str) -> None:
        await HttpClient(server_of(url)).request("GET", "/", within_s=5, max_bytes=100)

    for url, words in (
        ("http://127.0.0.1:1", "connection refused"),
        ("http://nobody.invalid", "the name 'nobody.invalid' does not resolve"),
        ("unix:/nowhere.sock", "no such socket file"),
    ):
        with pytest.raises(ClientError, match=words):
            asyncio.run(talk(url))


def test_a_stream_gives_what_comes_as_it_comes() -> None:
    async def talk() -> list[bytes]:
        async with (
            ScriptedServer([CHUNKED, b"3\r\none\r\n", HANG]) as server,
            HttpClient(server_of(server.url)).stream("GET", "/", head_s=20) as stream,
        ):
            got = [await stream.read(20)]
            with pytest.raises(TimeoutError):
                await stream.read(0.05)
            return got

    assert asyncio.run(talk()) == [b"one"]


def test_tls_is_verified() -> None:
    cert, key = self_signed("localhost", "IP:127.0.0.1")
    other, _ = self_signed("elsewhere")

    async def talk(ca: PemFile, name: str = "") -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        async with ScriptedServer(reply("200 OK"), tls=context) as server:
            trusted = tls_context(BackendTls(ca_file=ca))
            client = HttpClient(server_of(server.url, trusted, name))
            return (await client.request("GET", "/", within_s=20, max_bytes=100)).status

    assert asyncio.run(talk(read(cert))) == 200
    for ca, name in ((read(other), ""), (read(cert), "elsewhere")):
        with pytest.raises(ClientError, match="its certificate is not accepted"):
            asyncio.run(talk(ca, name))
