"""A stream is a client like another: what it asks, gets and breaks off is what it would be over HTTP/1."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from h2.settings import SettingCodes
from http2_client import Http2Client, Reply, connect
from rawclient import Message, Wire, chunked, ok
from routed import http, prefix, to
from scripts import CHUNKED, never, says, says_and_resets, says_and_waits
from stage import Script, Stage, serve, until

from balance.config.model import AccessLog, HttpConfig, Limits, Timeouts
from balance.config.route_model import Buffering, FixedResponse
from balance.http2 import frames
from balance.http2.errors import CANCEL, HTTP_1_1_REQUIRED, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM
from balance.model import Why
from balance.proxy.http2.client_connection import ClientConnection
from balance.proxy.http2.request_text import urgency
from balance.runtime import counters

H2C = HttpConfig(h2c=True)
OF_CONNECTIONS = ("connection", "keep-alive", "transfer-encoding", "upgrade")


class Recorded:
    """A backend that remembers requests, and answers all alike."""

    def __init__(self, answer: bytes = ok()) -> None:
        self.requests: list[Message] = []
        self.answer = answer

    def __call__(self, request: Message) -> bytes:
        self.requests.append(request)
        return self.answer


async def asked(stage: Stage, *request: object, **more: object) -> Reply:
    client = await connect(stage)
    return await client.reply(await client.request(*request, **more))  # type: ignore[arg-type]


# --- the same as over HTTP/1 ----------------------------------------------------------------------------------

REQUESTS = [
    ("GET", "/a?b=c", [], None),
    ("HEAD", "/a", [], None),
    ("POST", "/p", [], b"body"),
    ("PUT", "/p", [("content-type", "text/plain")], b""),
    ("DELETE", "/p", [], None),
    ("PATCH", "/p", [], b"x" * 70_000),
    (
        "GET",
        "/a",
        [("cookie", "a=1; b=2"), ("te", "trailers"), ("x-under_score", "dropped"), ("x-forwarded-for", "1.2.3.4")],
        None,
    ),
    ("OPTIONS", "*", [], None),
    ("OPTIONS", "/", [("max-forwards", "0")], None),
    ("OPTIONS", "/", [("max-forwards", "3")], None),
    ("REPORT", "/dav", [("depth", "1")], b"<x/>"),
    ("GET", "/a", [("expect", "other")], None),
    ("TRACE", "/a", [], None),
    ("CONNECT", "a.example:443", [], None),
    ("GET", "/" + "a" * 9000, [], None),
    ("GET", "/a", [("x-many", "1")] * 120, None),
    ("GET", "/a", [("x-long", "v" * 40_000)], None),
    ("GET", "/none", [("accept", "application/json")], None),
]
REPLIES = [
    ok(b"hello", "Date: Mon, 30 Nov 2026 00:00:00 GMT", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "X-Kept: 2"),
    b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    CHUNKED + chunked(b"one", b"two" * 10_000),
    b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one", trailers=b"X-Sum: 1\r\n"),
    b"HTTP/1.1 600 Odd\r\n\r\n",
]  # fmt: skip


def plain(fields: list[tuple[str, str]], but: str = "") -> list[tuple[str, str]]:
    """In order, by lower-case name, without what is of a connection and what differs from request to request."""
    left_out = (*OF_CONNECTIONS, "x-request-id", "x-forwarded-port", "date", "host", but)
    return sorted((name.lower(), value) for name, value in fields if name.lower() not in left_out)


def page(body: bytes) -> bytes:
    """Without what our own pages have of the request, and with what words a limit is told."""
    return re.sub(rb'"detail": "[^"]*", |[0-9a-f]{24}', b"", body)


async def over_http1(stage: Stage, method: str, target: str, fields: list[tuple[str, str]], body: bytes | None) -> Message:
    wire = await stage.client()
    lines = [f"{method} {target} HTTP/1.1", "Host: a.example", *(f"{name}: {value}" for name, value in fields)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    await wire.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
    reply = await wire.reply(method)
    wire.close()
    return reply


async def over_http2(client: Http2Client, method: str, target: str, fields: list[tuple[str, str]], body: bytes | None) -> Reply:
    more = [(name.encode(), value.encode()) for name, value in fields]
    if body is not None:
        more.append((b"content-length", b"%d" % len(body)))
    if method == "CONNECT":
        stream_id = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream_id, [(b":method", b"CONNECT"), (b":authority", target.encode())], end_stream=True)
        await client.flush()
    else:
        stream_id = await client.request(target, *more, method=method, body=body)
    return await client.reply(stream_id)


@pytest.mark.parametrize("answer", REPLIES, ids=lambda answer: answer[9:30].decode())
async def test_backends_and_clients_see_the_same_as_over_http1(stage: Stage, answer: bytes) -> None:
    recorded = Recorded(answer)
    stage.backend(serve(recorded))
    await stage.open(http=H2C)
    client = await connect(stage)
    for request in REQUESTS:
        before = len(recorded.requests)
        one = await over_http1(stage, *request)
        two = await over_http2(client, *request)
        seen = recorded.requests[before:]
        assert len(seen) in (0, 2), request
        if seen:
            assert seen[0].line == seen[1].line
            assert plain(seen[0].fields) == plain(seen[1].fields), request
            assert seen[0].body == seen[1].body
            assert {request.get("host") for request in seen} == {"a.example"}
        assert two.status == one.status, request
        fields = [(name.decode(), value.decode()) for name, value in two.fields if name != b":status"]
        assert not [name for name, _ in fields if name in OF_CONNECTIONS]
        assert page(two.body) == page(one.body), request
        own = b"request_id" in one.body or b"Request id" in one.body  # its length goes by what differs
        assert plain(fields, "content-length" if own else "") == plain(one.fields, "content-length" if own else ""), request
        assert plain(one.trailers) == plain([(name.decode(), value.decode()) for name, value in two.trailers])


async def test_the_last_field_of_our_own_replies_is_whole(stage: Stage) -> None:
    fixed = to("fixed", "", match=prefix("/fixed"), respond=FixedResponse(200, "ok", (("X-Kind", "fixed"),)))
    await stage.open(stage.refusing(), http=http(fixed, to("rest"), h2c=True))
    client = await connect(stage)
    for path, status in (("/", 502), ("/" + "a" * 9000, 414)):
        reply = await client.reply(await client.request(path))
        assert (reply.status, reply.get(b"x-request-id")) == (status, json.loads(reply.body)["request_id"].encode())
    made = await client.reply(await client.request("/fixed"))
    assert (made.status, made.body, made.get(b"x-kind")) == (200, b"ok", b"fixed")
    assert re.fullmatch(rb"[0-9a-f]{24}", made.get(b"x-request-id") or b"")


async def test_a_503_says_when_to_ask_again(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open(http=H2C)
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    reply = await asked(stage, "/")
    assert (reply.status, reply.get(b"retry-after")) == (503, b"1")
    stage.listener_server.set_ready(stage.of(backend).slot, True)


# --- requests ---------------------------------------------------------------------------------------------------


async def test_a_body_without_a_length_goes_on_in_chunks_with_its_trailers(stage: Stage) -> None:
    recorded = Recorded()
    stage.backend(serve(recorded))
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request(method="POST", ends=False)
    for part in (b"one", b"two"):
        await client.send(stream, part)
    client.h2.send_headers(stream, [(b"x-sum", b"6")], end_stream=True)
    await client.flush()
    assert (await client.reply(stream)).status == 200
    (request,) = recorded.requests
    assert (request.body, request.trailers, request.get("transfer-encoding")) == (b"onetwo", [("x-sum", "6")], "chunked")


async def test_an_empty_last_frame_ends_a_body_once(stage: Stage) -> None:
    recorded = Recorded()
    stage.backend(serve(recorded))
    await stage.open(http=H2C)
    client = await connect(stage)
    for path in ("/1", "/2"):
        stream = await client.request(path, method="POST", ends=False)
        await client.send(stream, b"one")
        await client.send(stream, b"", ends=True)
        assert (await client.reply(stream)).status == 200
    assert [(request.target, request.body) for request in recorded.requests] == [("/1", b"one"), ("/2", b"one")]


async def test_length_that_is_not_kept_is_reset_and_its_backend_connection_closed(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request("/", (b"content-length", b"10"), method="POST", ends=False)
    await client.send(stream, b"1234")
    await until(lambda: backend.wires and stage.active)
    await client.send(stream, b"", ends=True)
    assert (await client.reply(stream)).reset == PROTOCOL_ERROR
    assert stage.whys == {Why.BAD_REQUEST: 1}
    await until(lambda: not stage.active)


async def test_streams_run_side_by_side(stage: Stage) -> None:
    gate = asyncio.Event()

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if request.target == "/slow":
                await gate.wait()
            await wire.send(ok(request.target.encode()))

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    slow = await client.request("/slow")
    for number in range(5):
        assert (await client.reply(await client.request(f"/{number}"))).body == b"/%d" % number
    gate.set()
    assert (await client.reply(slow)).body == b"/slow"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 502)])
async def test_a_reused_connection_that_dies_is_a_new_try_or_an_error_with_a_line_and_no_refusal(
    stage: Stage, how: str, method: str, status: int
) -> None:
    """REFUSED_STREAM would tell the client that nothing was looked at, which nobody knows of a POST."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok())
        if await wire.request() is not None:
            getattr(wire, how)()

    stage.backend(script)
    await stage.open(http=H2C, access=AccessLog(True, output=str(stage.folder / "log")))
    client = await connect(stage)
    await client.reply(await client.request("/first"))
    reply = await client.reply(await client.request("/second", method=method, body=b"order" if method == "POST" else None))
    assert (reply.reset, reply.status) == (None, status)
    client.wire.close()
    await stage.settled()
    await until(lambda: (stage.folder / "log").exists() and len((stage.folder / "log").read_text().splitlines()) == 2)
    line = json.loads((stage.folder / "log").read_text().splitlines()[1])
    assert (line["path"], line["status"], line["why"] == "ok") == ("/second", status, status == 200)


async def test_the_client_may_leave_a_request(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=H2C, access=AccessLog(True, output=str(stage.folder / "log")))
    client = await connect(stage)
    stream = await client.request()
    await until(lambda: backend.wires and stage.active)
    await client.reset(stream)
    await until(lambda: not stage.active)
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    await until(lambda: backend.wires[0].sock.fileno() < 0)  # it has seen the end
    client.wire.close()
    await stage.settled()
    await until(lambda: (stage.folder / "log").read_text())
    line = json.loads((stage.folder / "log").read_text())
    assert (line["status"], line["why"], line["version"]) == (499, "client_abort", "HTTP/2.0")


async def test_ntlm_is_sent_back_to_http1(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    assert (await asked(stage, "/", (b"authorization", b"NTLM TlRMTVNTUAAB"))).reset == HTTP_1_1_REQUIRED
    assert stage.whys == {Why.MISDIRECTED: 1}


async def test_a_connection_that_asks_for_ntlm_serves_nobody_else(stage: Stage) -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"
    backend = stage.backend(serve(answer))
    await stage.open(http=H2C)
    client = await connect(stage)
    for _ in range(2):
        assert (await client.reply(await client.request())).status == 401
    assert len(backend.wires) == 2


async def test_malformed_request_is_reset_and_counted(stage: Stage) -> None:
    recorded = Recorded()
    stage.backend(serve(recorded))
    await stage.open(http=H2C)
    client = await connect(stage)
    for field in ((b"connection", b"close"), (b"x-a", b"a\r\nb: c"), (b"Upper", b"1"), (b"host", b"other.example")):
        assert (await client.reply(await client.request("/", field))).reset == PROTOCOL_ERROR
    assert (await client.reply(await client.request())).status == 200
    assert len(recorded.requests) == 1
    assert stage.whys == {Why.BAD_REQUEST: 4, Why.OK: 1}


# --- bodies both ways -------------------------------------------------------------------------------------------


async def test_upload_goes_as_fast_as_the_backend_takes_it(stage: Stage) -> None:
    gate = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await gate.wait()
        await wire.exactly(3_000_000)
        await wire.send(ok())

    stage.backend(script, receive_buffer=4096)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request("/", (b"content-length", b"3000000"), method="POST", ends=False)
    sending = asyncio.ensure_future(client.send(stream, bytes(3_000_000), ends=True))
    await until(lambda: client.h2.local_flow_control_window(stream) == 0)
    assert not sending.done()
    gate.set()
    await sending
    assert (await client.reply(stream)).status == 200


async def test_other_streams_go_on_beside_an_upload_that_is_stuck(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        while (request := await wire.head()) is not None:
            if request.line.startswith("POST"):
                await asyncio.sleep(3600)
            await wire.send(ok())

    stage.backend(script, receive_buffer=4096)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request(method="POST", ends=False)
    sending = asyncio.ensure_future(client.send(stream, bytes(20_000_000), ends=True))
    await until(lambda: client.h2.local_flow_control_window(stream) == 0)
    sending.cancel()
    for _ in range(30):
        assert (await client.reply(await client.request())).status == 200
    client.wire.close()


@pytest.mark.parametrize("buffering", [Buffering(), Buffering(response_bytes=200_000)])
async def test_client_that_does_not_read_pauses_the_backend(stage: Stage, buffering: Buffering) -> None:
    body = bytes(range(256)) * 20_000
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 10_000):
            await wire.send(body[start : start + 10_000])
            sent += 10_000

    stage.backend(script)
    await stage.open(http=HttpConfig(h2c=True, buffering=buffering))
    client = await connect(stage, takes=False)
    stream = await client.request()
    while len(client.replies.get(stream, Reply()).body) < 65_535:
        await client.read()
    assert sent < len(body)
    client.takes = True
    for target in (None, stream):
        client.h2.increment_flow_control_window(65_535, target)
    await client.flush()
    assert (await client.reply(stream)).body == body


async def test_client_that_opens_its_window_by_bytes_is_cut_after_write(stage: Stage) -> None:
    """CVE-2019-9511, 9517: an event is no progress."""
    stage.backend(serve(ok(bytes(1_000_000))))
    await stage.open(http=H2C, timeouts=Timeouts(write_s=0.3))
    client = await connect(stage, takes=False)
    stream = await client.request()

    async def trickle() -> None:
        while True:
            client.h2.increment_flow_control_window(1)
            client.h2.increment_flow_control_window(1, stream)
            await client.flush()
            await asyncio.sleep(0.02)

    trickling = asyncio.ensure_future(trickle())
    reply = await client.reply(stream)
    trickling.cancel()
    assert reply.reset in (CANCEL, INTERNAL_ERROR)
    assert len(reply.body) < 100_000
    await until(lambda: not stage.active)


async def test_answers_to_pings_are_no_progress(stage: Stage) -> None:
    """The connection's window is used up, and PINGs are the only thing that goes on."""
    stage.backend(serve(ok(bytes(1_000_000))))
    await stage.open(http=H2C, timeouts=Timeouts(write_s=0.4))
    client = await connect(stage, takes=False)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 500_000})
    stream = await client.request()

    async def ping() -> None:
        while True:
            await client.wire.send(frames.ping(b"12345678", is_ack=False) * 35)
            await asyncio.sleep(0.1)

    pinging = asyncio.ensure_future(ping())
    reply = await client.reply(stream)
    pinging.cancel()
    assert reply.reset in (CANCEL, INTERNAL_ERROR)
    assert not client.goaways
    await until(lambda: not stage.active)


async def test_a_stream_that_waits_for_its_window_after_the_connections_is_not_slow(stage: Stage) -> None:
    """What a stream has taken is not compared with what its connection has."""
    stage.backend(serve(ok(bytes(400_000))))
    await stage.open(http=H2C, timeouts=Timeouts(write_s=0.4))
    client = await connect(stage)
    for _ in range(2):
        assert len((await client.reply(await client.request())).body) == 400_000
    client.takes = False
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 200_000})
    stream = await client.request()
    while len(client.replies.get(stream, Reply()).body) < 30_000:  # as much as the connection's allows
        await client.read()
    client.h2.increment_flow_control_window(1 << 20)
    for _ in range(20):
        await client.flush()
        await asyncio.sleep(0.1)
        client.h2.increment_flow_control_window(4_000, stream)
    client.h2.increment_flow_control_window(400_000, stream)
    await client.flush()
    assert len((await client.reply(stream)).body) == 400_000


async def shut(stage: Stage, count: int) -> tuple[Http2Client, list[int]]:
    """A client that has asked for so many replies at once, and takes no byte of their content."""
    client = await connect(stage, takes=False)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.h2.increment_flow_control_window(1 << 30)
    streams = [await client.request() for _ in range(count)]
    other = await connect(stage)
    for _ in range(100):
        assert (await other.reply(await other.request("/other"))).status == 200
    other.wire.close()
    return client, streams


def large(size: int) -> Script:
    body = bytes(size)
    return serve(lambda request: ok() if request.target == "/other" else ok(body))


def held(stage: Stage) -> int:
    return max(each.session.out.held_bytes for each in stage.worker.connections if isinstance(each, ClientConnection))


async def test_replies_that_come_whole_and_are_not_taken_are_bounded_together(stage: Stage) -> None:
    stage.backend(large(250_000))
    await stage.open(http=H2C)
    client, streams = await shut(stage, 60)
    assert 1_000_000 < held(stage) < 6_000_000
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 250_000})
    await client.flush()
    for stream in streams:
        assert len((await client.reply(stream)).body) == 250_000
    assert stage.whys[Why.OK] == 160


async def test_who_takes_no_replies_gets_no_more_streams_until_he_does(stage: Stage) -> None:
    stage.backend(large(250_000))
    await stage.open(http=H2C)
    client, streams = await shut(stage, 40)
    assert (await client.reply(await client.request())).reset == REFUSED_STREAM
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 250_000})
    await client.flush()
    for stream in streams:
        assert len((await client.reply(stream)).body) == 250_000
    assert len((await client.reply(await client.request())).body) == 250_000
    assert not client.goaways


async def test_an_upload_goes_on_beside_replies_that_are_not_taken(stage: Stage) -> None:
    stage.backend(large(250_000))
    await stage.open(http=H2C, timeouts=Timeouts(write_s=0.5))
    client = await connect(stage, takes=False)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    upload = await client.request("/other", method="POST", ends=False)
    streams = [await client.request() for _ in range(40)]
    await until(lambda: stage.whys.get(Why.CLIENT_TOO_SLOW, 0) == len(streams))
    await client.send(upload, bytes(100_000), ends=True)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 250_000})
    await client.flush()
    assert (await client.reply(upload)).status == 200


async def test_replies_that_are_read_one_after_the_other_come_whole(stage: Stage) -> None:
    """The others hold all that a connection may; the one that is read goes on."""
    stage.backend(large(600_000))
    await stage.open(http=H2C)
    client, streams = await shut(stage, 40)
    for stream in streams:
        client.h2.increment_flow_control_window(100_000, stream)
        await client.flush()
        seen = 0
        while not (reply := client.replies.get(stream, Reply())).has_ended:
            assert reply.reset is None
            await client.read()
            reply = client.replies.get(stream, Reply())
            size = len(reply.body) - seen
            seen += size
            if size and not reply.has_ended:
                client.h2.increment_flow_control_window(size, stream)
                await client.flush()
        assert seen == 600_000
    assert held(stage) == 0


async def test_reply_that_is_held_ends_when_it_is_taken(stage: Stage) -> None:
    """The exchange is over, and its stream is not: nothing is cut off behind the last byte."""
    stage.backend(serve(ok(bytes(100_000))))
    await stage.open(http=H2C)
    client = await connect(stage, takes=False)
    stream = await client.request()
    await until(lambda: stage.whys == {Why.OK: 1})
    while len(client.replies.get(stream, Reply()).body) < 65_535:
        await client.read()
    for target in (None, stream):
        client.h2.increment_flow_control_window(65_535, target)
    await client.flush()
    assert len((await client.reply(stream)).body) == 100_000


# --- replies ----------------------------------------------------------------------------------------------------


async def test_interim_replies_and_100_pass(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        assert await wire.exactly(3) == b"abc"
        await wire.send(ok())

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request("/", (b"expect", b"100-continue"), (b"content-length", b"3"), method="POST", ends=False)
    while len((client.replies.get(stream) or Reply()).interims) < 2:
        await client.read()
    await client.send(stream, b"abc", ends=True)
    reply = await client.reply(stream)
    assert reply.status == 200
    assert [dict(fields)[b":status"] for fields in reply.interims] == [b"103", b"100"]
    assert dict(reply.interims[0])[b"link"] == b"</a>"


async def test_early_reply_is_whole_and_stops_the_upload(stage: Stage) -> None:
    """RFC 9113 section 8.1: NO_ERROR, by which browsers show the reply."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nmuch")
        await wire.rest()

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request("/", (b"content-length", b"1000000"), method="POST", ends=False)
    await client.send(stream, bytes(60_000))
    reply = await client.reply(stream)
    while reply.reset is None:
        await client.read()
    assert (reply.status, reply.body, reply.has_ended, reply.reset) == (413, b"much", True, NO_ERROR)


async def test_close_delimited_reply_ends_with_its_stream(stage: Stage) -> None:
    stage.backend(says(b"HTTP/1.0 200 OK\r\n\r\none", b"two"))
    await stage.open(http=H2C)
    assert (await asked(stage)).body == b"onetwo"


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"HTTP/1.0 200 OK\r\n\r\nabc"])
async def test_reply_that_breaks_off_does_not_look_complete(stage: Stage, begin: bytes) -> None:
    stage.backend(says_and_resets(begin))
    await stage.open(http=H2C)
    reply = await asked(stage)
    assert (reply.status, reply.has_ended, reply.reset) == (200, False, INTERNAL_ERROR)
    assert stage.whys == {Why.RESET_MID_RESPONSE: 1}


async def test_reply_in_parts_is_passed_on_as_it_comes(stage: Stage) -> None:
    stage.backend(says_and_waits(CHUNKED + b"3\r\none\r\n"))
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request()
    while client.replies.get(stream, Reply()).body != b"one":
        await client.read()
    client.wire.close()


# --- bounds -----------------------------------------------------------------------------------------------------


async def test_a_stream_has_its_place_until_its_exchange_ends(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C)
    client = await connect(stage)
    streams = [await client.request(f"/{number}") for number in range(100)]
    client.h2.remote_settings.update({3: 1000})
    client.h2.remote_settings.acknowledge()
    last = await client.request("/one-more")
    assert (await client.reply(last)).reset == REFUSED_STREAM
    await until(lambda: stage.active == 100)
    await client.reset(streams[0])
    await until(lambda: stage.active == 99)
    await client.request("/in-its-place")
    await until(lambda: stage.active == 100)
    client.wire.close()


async def test_body_has_the_limits_that_it_has_over_http1(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=HttpConfig(h2c=True, limits=Limits(body_bytes=1000)))
    client = await connect(stage)
    for more in ((b"content-length", b"2000"), (b"x-a", b"b")):
        stream = await client.request("/", more, method="POST", ends=False)
        await client.send(stream, bytes(2000))
        assert (await client.reply(stream)).status == 413
    assert stage.whys == {Why.BODY_TOO_LARGE: 2}


async def test_body_that_does_not_come_is_answered_408(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C, timeouts=Timeouts(client_body_s=0.1))
    client = await connect(stage)
    assert (await client.reply(await client.request(method="POST", ends=False))).status == 408


async def test_backend_that_says_nothing_is_504(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C, timeouts=Timeouts(read_s=0.1))
    assert (await asked(stage)).status == 504
    assert stage.whys == {Why.RESPONSE_HEADER_TIMEOUT: 1}


async def test_a_backend_that_refuses_connections_is_502(stage: Stage) -> None:
    await stage.open(stage.refusing(), http=H2C)
    reply = await asked(stage)
    assert (reply.status, dict(reply.fields).get(b"connection")) == (502, None)
    assert reply.body


@pytest.mark.parametrize(
    ("field", "level"), [(b"", 3), (b"u=0", 0), (b"i, u=7", 7), (b"u=8", 3), (b"u=", 3), (b"xu=1", 3), (b"i,u=5", 5)]
)
def test_urgency_is_that_of_the_priority_field(field: bytes, level: int) -> None:
    assert urgency(field) == level


async def test_requests_are_counted_as_all_are(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    for _ in range(3):
        await client.reply(await client.request())
    assert stage.whys == {Why.OK: 3}
    assert stage.cell(counters.CONNECTIONS) == 1
