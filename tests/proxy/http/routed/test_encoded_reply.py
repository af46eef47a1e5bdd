"""Compressed replies between a real client and a real backend: whatever arrives how, the client decodes what was sent."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import brotli
import pytest
import zstandard
from httptools import HttpResponseParser
from hypothesis import given, settings
from hypothesis import strategies as st
from rawclient import Ended, Message, Wire, chunked, get, ok
from scripts import ask, failures, says, says_and_resets
from stage import Stage, serve, until

from balance.compression.encoders import CODINGS, SLICE, encoder_factory
from balance.compression.stream_memory import WORKER
from balance.config.model import AccessLog, HttpConfig, Timeouts
from balance.config.route_model import Buffering, Compression
from balance.http1.body import Body
from balance.http1.chunked import ChunkedBody
from balance.http1.framing import BY_CHUNKS, BY_LENGTH
from balance.model import Why
from balance.proxy.http.routed.encoded_reply import EncodedReply

TEXT = b"".join(b'{"id": %d, "name": "user %d"},\n' % (number, number * 7919 % 1000) for number in range(400))  # 12 KB
PAGE = "Content-Type: text/html"
CHUNKS = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = "Accept-Encoding: gzip"


@pytest.fixture(autouse=True)
def gives_all_back() -> Iterator[None]:
    """Whatever becomes of an exchange, its encoder's memory is free in the end."""
    yield
    assert WORKER.used == 0


def compressing(**keys: object) -> HttpConfig:
    return HttpConfig(compression=Compression(enabled=True, **keys))  # type: ignore[arg-type]


DECODE: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": lambda body: zlib.decompress(body, 31),
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


def decoded(reply: Message) -> bytes:
    return DECODE[reply.get("content-encoding")](reply.body)


# --- every split, without sockets -------------------------------------------------------------------------


class FakeExchange:
    """What an EncodedReply asks of its exchange; the turns of its loop are taken by hand."""

    def __init__(self) -> None:
        self.upstream = self.client = self.settings = self.worker = self.loop = self.request = self
        self.minor = 1
        self.is_held_back = False
        self.is_paused = False
        self.turns: list[Callable[[], None]] = []
        self.slices = 0

    def call_soon(self, turn: Callable[[], None]) -> None:
        self.turns.append(turn)

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def next_slice(self) -> None:
        self.slices += 1


def unchunked(data: bytes) -> bytes:
    chunks = ChunkedBody(decode=True)
    content = chunks.feed(data)
    assert chunks.is_done and not chunks.rest
    return content


@pytest.mark.pure
@pytest.mark.parametrize("coding", CODINGS)
def test_two_pieces_split_anywhere(coding: str) -> None:
    sent = chunked(b"one", b"two" * 40, b"three", trailers=b"X-T: 1\r\n")
    for split in range(len(sent)):
        reply = EncodedReply(FakeExchange(), encoder_factory(coding)())  # type: ignore[arg-type]
        body = Body(BY_CHUNKS, 0, HttpResponseParser, decode=True)
        out = unchunked(reply.begin(body, sent[:split]) + reply.feed(sent[split:]))
        assert DECODE[coding](out) == b"one" + b"two" * 40 + b"three"


@pytest.mark.pure
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 3 * SLICE), max_size=6), st.booleans())
def test_pieces_of_any_size_in_slices(sizes: list[int], is_pausing: bool) -> None:
    """Data comes while slices of the data before wait, as it does when a connection is read to its end."""
    whole = b"".join(b"%d;" % number for number in range(sum(sizes)))[: sum(sizes)] + b"end"
    exchange = FakeExchange()
    reply = EncodedReply(exchange, encoder_factory("gzip")())  # type: ignore[arg-type]
    body = Body(BY_LENGTH, len(whole), HttpResponseParser)
    out, position = reply.begin(body, b""), 0
    for size in [*sizes, len(whole)]:
        if size and whole[position:]:
            out += reply.feed(whole[position : position + size])
            position += size
        while exchange.turns and is_pausing:
            exchange.turns.pop()()
            if reply.is_holding:
                assert exchange.is_paused
                out += reply.feed(b"")
    while reply.is_holding:
        out += reply.feed(b"")
    assert body.is_done
    assert zlib.decompress(unchunked(out), 31) == whole


# --- whole replies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_reply_that_is_complete_has_its_length(stage: Stage, coding: str) -> None:
    backend = stage.backend(serve(ok(TEXT, PAGE, 'ETag: "x"', "Accept-Ranges: bytes", "Digest: sha-256=x")))
    await stage.open(http=compressing())
    client = await stage.client()
    for _ in range(3):
        await client.send(get("/", f"Accept-Encoding: {coding}"))
        reply = await client.reply()
        assert decoded(reply) == TEXT
        assert len(reply.body) < len(TEXT) / 3
        assert reply.get("content-encoding") == coding
        assert reply.get("content-length") == str(len(reply.body))
        assert reply.get("transfer-encoding") is None
        assert (reply.get("vary"), reply.get("etag")) == ("Accept-Encoding", 'W/"x"')
        assert reply.get("accept-ranges") is reply.get("digest") is None
    assert len(backend.wires) == 1


@pytest.mark.parametrize(
    "reply_sent",
    [
        CHUNKS + chunked(*(TEXT[start : start + 1000] for start in range(0, len(TEXT), 1000))),
        CHUNKS + chunked(TEXT, trailers=b"X-Checksum: 1\r\n"),
        ok(TEXT, PAGE),
    ],
)
async def test_every_framing_arrives_whatever_the_splits(stage: Stage, reply_sent: bytes) -> None:
    async def script(wire: Wire) -> None:
        number = 0
        while await wire.request() is not None:
            number += 37
            for part in (reply_sent[:number], reply_sent[number : 2 * number], reply_sent[2 * number :]):
                await wire.send(part)
                await asyncio.sleep(0)

    backend = stage.backend(script)
    await stage.open(http=compressing())
    client = await stage.client()
    for _ in range(40):
        await client.send(get("/", GZIP))
        reply = await client.reply()
        assert reply.get("content-encoding") == "gzip"
        assert decoded(reply) == TEXT
        assert not reply.trailers
    assert len(backend.wires) == 1


async def test_a_head_that_comes_alone_is_followed_by_chunks(stage: Stage) -> None:
    head, _, body = ok(TEXT, PAGE).partition(b"\r\n\r\n")

    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            await wire.send(head + b"\r\n\r\n")
            await asyncio.sleep(0.01)
            for start in range(0, len(body), 1):
                if start % 4000 == 0:
                    await wire.send(body[start : start + 4000])
                    await asyncio.sleep(0.001)

    stage.backend(script)
    await stage.open(http=compressing())
    reply = await ask(stage, get("/", GZIP))
    assert reply.get("transfer-encoding") == "chunked"
    assert decoded(reply) == TEXT


async def test_what_only_the_close_ends_is_complete_at_the_close(stage: Stage) -> None:
    stage.backend(says(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", TEXT * 30))
    await stage.open(http=compressing())
    client = await stage.client()
    await client.send(get("/", GZIP))
    reply = await client.reply()
    assert reply.get("transfer-encoding") == "chunked"
    assert decoded(reply) == TEXT * 30
    assert reply.get("connection") is None  # it is kept, though the backend's was not
    assert stage.whys == {Why.OK: 1}


async def test_http_1_0_gets_no_chunks(stage: Stage) -> None:
    stage.backend(serve(lambda request: CHUNKS + chunked(TEXT) if request.target == "/1" else ok(TEXT * 20, PAGE)))
    await stage.open(http=compressing())
    short = await ask(stage, b"GET /1 HTTP/1.0\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n")
    assert short.get("connection") == "keep-alive"
    assert short.get("content-length") is not None
    assert decoded(short) == TEXT
    long = await ask(stage, b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n")
    assert long.get("transfer-encoding") is long.get("content-length") is None
    assert decoded(long) == TEXT * 20


@pytest.mark.parametrize("coding", CODINGS)
async def test_10_mb_arrive_and_what_is_sent_is_counted(stage: Stage, coding: str) -> None:
    whole = TEXT * 800
    stage.backend(serve(ok(whole, PAGE)))
    log = stage.folder / "access.log"
    await stage.open(http=compressing(), access=AccessLog(enabled=True, output=str(log)))
    client = await stage.client()
    await client.send(get("/", f"Accept-Encoding: {coding}"))
    assert decoded(await client.reply()) == whole
    client.close()
    await until(lambda: log.read_text().endswith("\n"))
    assert json.loads(log.read_text())["bytes_out"] == client.seen


async def test_other_clients_get_turns_while_much_is_encoded(stage: Stage) -> None:
    """A turn of the loop encodes one slice that waited, and at most another that has just come."""
    encoded: Counter[int] = Counter()  # bytes by turn
    stage.backend(serve(ok(TEXT * 800, PAGE)))
    await stage.open(http=compressing(algorithms=("gzip",), level=9))
    compressobj = zlib.compressobj

    class Watched:
        def __init__(self, *args: int) -> None:
            self.inner = compressobj(*args)
            self.flush = self.inner.flush

        def compress(self, data: bytes) -> bytes:
            encoded[turns] += len(data)
            return self.inner.compress(data)

    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "compressobj", Watched)
        client = await stage.client()
        await client.send(get("/", GZIP))
        assert len(decoded(await client.reply())) == 800 * len(TEXT)
    counting.cancel()
    assert max(encoded.values()) <= 2 * SLICE


# --- streams ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("content_type", "types"), [("text/event-stream", ("text/event-stream",)), ("application/json", ("application/json",))]
)
async def test_each_event_leaves_at_once(stage: Stage, coding: str, content_type: str, types: tuple[str, ...]) -> None:
    """The backend says the next one only when the client has read the one before."""
    has_read = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKS.replace(b"text/html", content_type.encode()))
        for number in range(20):
            event = b"data: event %d\n\n" % number
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
            await has_read.wait()
            has_read.clear()
        await wire.send(b"0\r\n\r\n")

    stage.backend(script)
    await stage.open(http=compressing(types=types))
    client = await stage.client()
    await client.send(get("/", f"Accept-Encoding: {coding}"))
    head = await client.head()
    assert head is not None and head.get("content-encoding") == coding
    decoders = {
        "gzip": lambda: zlib.decompressobj(31).decompress,
        "br": lambda: brotli.Decompressor().process,
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
    }
    decode: Callable[[bytes], bytes] = decoders[coding]()
    for number in range(20):
        event = b""
        while not event.endswith(b"\n\n"):
            size = int((await client.until(b"\r\n"))[:-2], 16)
            event += decode((await client.exactly(size + 2))[:-2])
        assert event == b"data: event %d\n\n" % number
        has_read.set()


async def test_event_streams_are_left_alone_unless_asked(stage: Stage) -> None:
    event = b"data: x\n\n" * 500
    stage.backend(serve(CHUNKS.replace(b"text/html", b"text/event-stream") + chunked(event)))
    await stage.open(http=compressing())
    reply = await ask(stage, get("/", GZIP))
    assert (reply.get("content-encoding"), reply.get("vary"), reply.body) == (None, None, event)


@pytest.mark.parametrize("response_bytes", [0, 1 << 20])
async def test_a_slow_reader_holds_the_backend_up(stage: Stage, response_bytes: int) -> None:
    """Memory is bounded by what is on the way; all arrives when it is read at last."""
    noise = random.Random(1).randbytes(1 << 16)  # does not get smaller
    whole = noise * 130  # 8.5 MB
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(whole))
        for start in range(0, len(whole), 65536):
            await wire.send(whole[start : start + 65536])
            sent = start
        await wire.rest()

    stage.backend(script)
    http = HttpConfig(
        compression=Compression(enabled=True, algorithms=("gzip",), level=1), buffering=Buffering(response_bytes=response_bytes)
    )
    await stage.open(http=http, send_buffer=65536)
    client = await stage.client(receive_buffer=65536)
    await client.send(get("/", GZIP))
    before = -1
    while before != sent or not sent:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < len(whole) - 65536  # it is held up
    assert stage.buffered < 1 << 20
    assert decoded(await client.reply()) == whole


# --- what is not touched, and revalidation ----------------------------------------------------------------


async def test_who_does_not_accept_gets_the_bytes_and_vary(stage: Stage) -> None:
    stage.backend(serve(ok(TEXT, PAGE, 'ETag: "x"', "Vary: Origin")))
    await stage.open(http=compressing())
    reply = await ask(stage, get("/", "Accept-Encoding: deflate, gzip;q=0"))
    assert reply.body == TEXT
    assert (reply.get("content-encoding"), reply.get("etag")) == (None, '"x"')
    assert reply.get("vary") == "Origin, Accept-Encoding"


async def test_head_gets_no_content(stage: Stage) -> None:
    backend = stage.backend(serve(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n"))
    await stage.open(http=compressing())
    client = await stage.client()
    for _ in range(3):
        await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        reply = await client.reply("HEAD")
        assert (reply.get("content-encoding"), reply.get("content-length")) == (None, "5000")
        assert reply.get("vary") == "Accept-Encoding"
    assert len(backend.wires) == 1


@pytest.mark.parametrize(
    "reply_sent",
    [
        ok(zlib.compress(TEXT, wbits=31), PAGE, "Content-Encoding: gzip"),
        ok(TEXT, PAGE, "Cache-Control: no-transform"),
        ok(TEXT, "Content-Type: image/png"),
        ok(b"small", PAGE),
        ok(b"", PAGE),
        ok(TEXT, PAGE, "Content-Range: bytes 0-5/10").replace(b"200 OK", b"206 Partial Content"),
    ],
)
async def test_what_is_not_eligible_goes_on_as_it_came(stage: Stage, reply_sent: bytes) -> None:
    stage.backend(serve(reply_sent))
    await stage.open(http=compressing())
    reply = await ask(stage, get("/", GZIP))
    head, _, body = reply_sent.partition(b"\r\n\r\n")
    assert reply.raw.startswith(head)
    assert reply.body == body
    assert reply.get("vary") is None


async def test_our_own_pages_are_left_alone(stage: Stage) -> None:
    await stage.open(stage.refusing(), http=compressing(min_size_bytes=0))
    reply = await ask(stage, get("/", GZIP))
    assert (reply.status, reply.get("content-encoding")) == (502, None)
    assert b"502" in reply.body


async def test_a_weakened_tag_ends_in_a_304_where_bytes_are_compared(stage: Stage) -> None:
    def answer(request: Message) -> bytes:
        if request.get("if-none-match") == '"x"':
            return b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'
        return ok(TEXT, PAGE, 'ETag: "x"')

    stage.backend(serve(answer))
    await stage.open(http=compressing())
    first = await ask(stage, get("/", GZIP))
    assert (first.status, first.get("etag")) == (200, 'W/"x"')
    again = await ask(stage, get("/", GZIP, 'If-None-Match: W/"x"'))
    assert (again.status, again.get("etag"), again.get("vary")) == (304, 'W/"x"', "Accept-Encoding")
    uncompressed = await ask(stage, get("/", 'If-None-Match: "x"'))
    assert (uncompressed.status, uncompressed.get("etag")) == (304, '"x"')


# --- early ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n", TEXT),
        (CHUNKS, b"%x\r\n%b\r\n" % (len(TEXT), TEXT)),
        (CHUNKS, b"%x\r\n%b\r\n" % (len(TEXT), TEXT), b"no chunk\r\n"),
    ],
)
async def test_a_reply_that_breaks_off_does_not_look_complete(stage: Stage, parts: tuple[bytes, ...]) -> None:
    stage.backend(says_and_resets(*parts))
    await stage.open(http=compressing())
    client = await stage.client()
    await client.send(get("/", GZIP))
    with pytest.raises((Ended, ConnectionResetError)):
        await client.reply()
    assert failures(stage) == [1]


async def test_a_reply_that_breaks_off_resets_http_1_0(stage: Stage) -> None:
    stage.backend(says_and_resets(CHUNKS, b"%x\r\n%b\r\n" % (len(TEXT), TEXT)))
    await stage.open(http=compressing())
    client = await stage.client()
    await client.send(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await client.reply()


async def test_malformed_chunks_with_the_head_are_a_502(stage: Stage) -> None:
    stage.backend(says(CHUNKS + b"no chunk\r\n"))
    await stage.open(http=compressing())
    assert (await ask(stage, get("/", GZIP))).status == 502


async def test_malformed_chunks_after_much_end_the_reply(stage: Stage) -> None:
    """They are found while slices wait for their turns, and the backend has closed."""
    stage.backend(says(CHUNKS + chunked(TEXT * 20)[:-5] + b"no chunk\r\n" + TEXT * 20))
    await stage.open(http=compressing())
    client = await stage.client()
    await client.send(get("/", GZIP))
    with pytest.raises((Ended, ConnectionResetError)):
        await client.reply()


async def test_bytes_behind_a_long_reply_reach_nobody(stage: Stage) -> None:
    backend = stage.backend(serve(CHUNKS + chunked(TEXT * 20) + ok(b"poison" * 50_000)))
    await stage.open(http=compressing())
    client = await stage.client()
    for _ in range(3):
        await client.send(get("/", GZIP))
        assert decoded(await client.reply()) == TEXT * 20
    assert len(backend.wires) == 3


async def test_a_client_that_leaves_is_forgotten(stage: Stage) -> None:
    stage.backend(serve(ok(TEXT * 800, PAGE)))
    await stage.open(http=compressing(), timeouts=Timeouts(write_s=30))
    client = await stage.client(receive_buffer=4096)
    await client.send(get("/", GZIP))
    await client.exactly(2000)
    client.reset()
    await until(lambda: stage.whys == {Why.CLIENT_ABORT: 1})


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_decodes_it(stage: Stage) -> None:
    stage.backend(serve(lambda request: ok(TEXT * 20, PAGE)))
    await stage.open(http=compressing())
    url = f"http://127.0.0.1:{stage.address.port}/"
    curl = await asyncio.create_subprocess_exec(
        "curl", "-s", "-f", "--compressed", url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await curl.communicate()
    assert out == TEXT * 20
