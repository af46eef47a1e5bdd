"""A request over HTTP/1 that goes to a backend over HTTP/2, and its reply back."""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from h2_backend import Asked, H2Backend, Peer, replies
from rawclient import Message, Wire, chunked, get, post
from stage import Stage, until

from balance.config.model import HttpConfig, Timeouts
from balance.model import Why
from balance.proxy.http.http2_backends.connection_pool import ConnectionPool
from balance.proxy.http.http2_backends.stream_upstream import StreamUpstream
from balance.runtime import counters

BIG = bytes(range(256)) * 8_000  # 2 MB


async def ask(stage: Stage, request: bytes = b"", method: str = "GET") -> Message:
    client = await stage.client()
    await client.send(request or get())
    reply = await client.reply(method)
    client.close()
    return reply


def in_chunks(*parts: bytes, trailers: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*parts, trailers=trailers)


def echo(peer: Peer, asked: Asked) -> None:
    peer.answer(asked.stream_id, bytes(asked.body))


async def test_the_fields_of_a_connection_stay_here_and_host_is_the_authority(stage: Stage) -> None:
    played = replies()
    stage.backend(played.script)
    await stage.open(protocol="h2c")
    fields = ("Connection: x-hop, TE", "X-Hop: 1", "TE: trailers", "X-Kept: a, b", "Cookie: a=b", "Keep-Alive: 3")
    assert (await ask(stage, get("/path?q", *fields))).status == 200
    asked = played.asked[0]
    assert asked.fields[:4] == [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/path?q")]
    assert asked.all("te") == ["trailers"]
    assert asked.all("x-kept") == ["a, b"]
    assert asked.all("x-forwarded-for") == ["127.0.0.1"]
    names = {name for name, _ in asked.fields}
    assert not names & {"connection", "x-hop", "keep-alive", "host", "transfer-encoding", "upgrade"}


async def test_bodies_pass_both_ways_in_any_framing(stage: Stage) -> None:
    played = H2Backend(echo)
    stage.backend(played.script)
    await stage.open(protocol="h2c")
    for request in (post(BIG), in_chunks(BIG[:100], BIG, b"end"), post(b""), in_chunks()):
        reply = await ask(stage, request)
        assert reply.status == 200
        assert reply.body == bytes(played.asked[-1].body)
    assert [len(asked.body) for asked in played.asked] == [len(BIG), len(BIG) + 103, 0, 0]
    assert [asked.get("content-length") for asked in played.asked] == [str(len(BIG)), None, "0", None]
    assert stage.whys == {Why.OK: 4}


async def test_trailers_pass_both_ways(stage: Stage) -> None:
    played = replies(b"body", trailers=True)
    stage.backend(played.script)
    await stage.open(protocol="h2c")
    reply = await ask(stage, in_chunks(b"content", trailers=b"X-Sum: 7\r\n"))
    assert (bytes(played.asked[0].body), played.asked[0].trailers) == (b"content", [("x-sum", "7")])
    assert (reply.body, reply.trailers) == (b"body", [("x-trailer", "yes")])


@pytest.mark.parametrize("field", [("content-type", "application/grpc+proto"), ("trailer", "x-trailer")])
async def test_trailers_that_are_to_be_expected_pass_though_the_length_is_said(stage: Stage, field: tuple[str, str]) -> None:
    """nghttpd, and proxies before a server of gRPC, say both; behind Content-Length HTTP/1 has no place for them."""
    played = replies(b"body", ("content-length", "4"), field, trailers=True)
    stage.backend(played.script)
    await stage.open(protocol="h2c")
    reply = await ask(stage)
    assert (reply.body, reply.trailers) == (b"body", [("x-trailer", "yes")])
    assert stage.whys == {Why.OK: 1}


async def test_replies_without_content(stage: Stage) -> None:
    def answer(peer: Peer, asked: Asked) -> None:
        if asked.path == "/204":
            peer.answer(asked.stream_id, b"", status=204)
        elif asked.get(":method") == "HEAD":
            fields = [("content-length", "2000")] if asked.path == "/length" else []
            peer.answer(asked.stream_id, b"", *fields)
        else:
            peer.answer(asked.stream_id, b"", status=304 if asked.path == "/304" else 200)

    stage.backend(H2Backend(answer).script)
    await stage.open(protocol="h2c")
    client = await stage.client()
    await client.send(get("/empty"))
    reply = await client.reply()
    assert (reply.status, reply.get("content-length"), reply.body) == (200, "0", b"")
    await client.send(get("/204"))
    reply = await client.reply()
    assert (reply.status, reply.get("content-length"), reply.get("transfer-encoding")) == (204, None, None)
    await client.send(get("/304"))
    assert (await client.reply()).status == 304
    await client.send(b"HEAD /length HTTP/1.1\r\nHost: test\r\n\r\n")
    assert (await client.reply("HEAD")).get("content-length") == "2000"
    await client.send(b"HEAD /none HTTP/1.1\r\nHost: test\r\n\r\n")
    assert (await client.reply("HEAD")).get("content-length") is None
    await client.send(get("/empty"))  # the connection has lost nobody's place
    assert (await client.reply()).status == 200
    assert stage.whys == {Why.OK: 6}


async def test_an_end_in_a_frame_of_its_own_resets_nothing(stage: Stage) -> None:
    """As Go, Node and Python send it: content of a known length, and then an empty DATA with the end."""
    ends: list[tuple[Peer, int]] = []

    def answer(peer: Peer, asked: Asked) -> None:
        peer.h2.send_headers(asked.stream_id, [(":status", "200"), ("content-length", "2")])
        peer.h2.send_data(asked.stream_id, b"ok")
        ends.append((peer, asked.stream_id))

    played = H2Backend(answer)
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    assert (await ask(stage)).body == b"ok"
    peer, stream_id = ends[0]
    peer.h2.send_data(stream_id, b"", end_stream=True)
    await peer.flush()
    assert (await ask(stage)).body == b"ok"
    assert [asked.reset for asked in played.asked] == [None, None]
    assert len(backend.wires) == 1


async def test_more_or_less_content_than_was_said_is_no_reply(stage: Stage) -> None:
    def answer(peer: Peer, asked: Asked) -> None:
        if asked.path == "/late":
            peer.h2.send_headers(asked.stream_id, [(":status", "200"), ("content-length", "5")])
            peer.h2.send_data(asked.stream_id, b"abc", end_stream=True)
        else:
            peer.h2.send_headers(asked.stream_id, [(":status", "200"), ("content-length", "0")])
            peer.h2.send_data(asked.stream_id, b"HTTP/1.1 200 OK\r\n\r\n", end_stream=True)

    played = H2Backend(answer)
    stage.backend(played.script)
    await stage.open(protocol="h2c")
    client = await stage.client()
    await client.send(get("/late"))
    assert (await client.rest()).partition(b"\r\n\r\n")[2] in (b"", b"abc")
    client = await stage.client()
    await client.send(get("/more"))
    reply = await client.reply()
    assert (reply.get("content-length"), reply.body) == ("0", b"")
    await client.send(get("/more"))
    assert (await client.reply()).body == b""
    assert {asked.reset for asked in played.asked} <= {None, ErrorCodes.PROTOCOL_ERROR, ErrorCodes.CANCEL}


async def test_an_early_reply_ends_the_upload_and_not_the_connection(stage: Stage) -> None:
    played = H2Backend(lambda peer, asked: peer.answer(asked.stream_id, b"no", status=413), at_head=True)
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    client = await stage.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\nbegin")
    assert (await client.reply()).status == 413
    assert (await ask(stage, post(b"whole"))).status == 413
    assert len(backend.wires) == 1
    await until(lambda: played.asked[0].reset is not None)


async def test_who_leaves_takes_the_request_along_and_not_the_connection(stage: Stage) -> None:
    played = H2Backend(lambda peer, asked: None if asked.path == "/wait" else peer.answer(asked.stream_id))
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    client = await stage.client()
    await client.send(get("/wait"))
    await until(lambda: played.asked)
    client.close()
    await until(lambda: played.asked[0].reset == ErrorCodes.CANCEL)
    assert (await ask(stage)).status == 200
    assert len(backend.wires) == 1


async def test_a_client_that_does_not_read_stops_its_own_stream_alone(stage: Stage) -> None:
    body = BIG * 8
    played = H2Backend(lambda peer, asked: peer.answer(asked.stream_id, body if asked.path == "/big" else b"ok"))
    stage.backend(played.script)
    await stage.open(protocol="h2c", send_buffer=4096)
    slow = await stage.client(receive_buffer=4096)
    await slow.send(get("/big"))
    await until(lambda: played.asked)
    sent = -1
    while sent != (sent := len(played.peers[0]._left.get(1, b""))):  # until no more is taken
        assert (await ask(stage)).status == 200
        await asyncio.sleep(0.05)
    assert sent > len(body) // 2
    assert stage.buffered < 1_000_000
    assert (await slow.reply()).body == body


async def test_many_clients_that_do_not_read_stop_nobody_else(stage: Stage) -> None:
    """What all their streams hold together is more than a client's connection could hold here; others' replies come."""
    played = H2Backend(lambda peer, asked: peer.answer(asked.stream_id, b"ok" if asked.path == "/" else BIG * 2))
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c", send_buffer=4096)
    slow = [await stage.client(receive_buffer=4096) for _ in range(40)]
    for client in slow:
        await client.send(get("/slow"))
    await until(lambda: len(played.asked) == len(slow))
    left = -1
    while left != (left := sum(map(len, played.peers[0]._left.values()))):  # until no more is taken
        assert (await ask(stage)).body == b"ok"
        await asyncio.sleep(0.05)
    assert len(played.peers[0]._left) == len(slow)
    assert (await asyncio.wait_for(ask(stage, get("/fast")), 10)).body == BIG * 2
    assert len(backend.wires) == 1


async def test_a_backend_that_takes_no_content_stops_its_client(stage: Stage) -> None:
    def answer(peer: Peer, asked: Asked) -> None:
        peer.takes_content = False

    played = H2Backend(answer, at_head=True)
    stage.backend(played.script)
    await stage.open(protocol="h2c", timeouts=Timeouts(write_s=0.3))
    client = await stage.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n")
    sender = asyncio.create_task(client.send(bytes(50_000_000)))
    assert (await client.reply()).status in (408, 504)
    sender.cancel()
    assert len(played.asked[0].body) < 200_000  # its window, and what it gave back for content that came with the head


async def test_bytes_of_others_are_no_progress_of_a_request_that_has_been_sent(stage: Stage) -> None:
    """Else its timeouts would be prolonged for as long as others upload on its connection."""
    peers: list[Peer] = []
    is_over = asyncio.Event()

    async def script(wire: Wire) -> None:
        peer = Peer(wire, {SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
        peers.append(peer)
        peer.h2.initiate_connection()
        peer.h2.increment_flow_control_window(1 << 24)
        await peer.flush()
        while not any(asked.is_whole for asked in peer.asked.values()):
            await peer.events()
        await is_over.wait()  # and reads nothing more

    backend = stage.backend(script)
    await stage.open(protocol="h2c")
    stuck, other = await stage.client(), await stage.client()
    await stuck.send(post(b"body"))
    await until(lambda: peers and 1 in peers[0].asked and peers[0].asked[1].is_whole)
    await other.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n")
    sender = asyncio.create_task(other.send(bytes(50_000_000)))
    shared = stage.of(backend).shared
    assert isinstance(shared, ConnectionPool)
    (connection,) = shared._connections
    await until(lambda: connection.session.out.is_blocked)
    upstream = connection.session.streams[1].owner
    assert isinstance(upstream, StreamUpstream)
    assert not upstream.has_taken_some()
    sender.cancel()
    is_over.set()


async def test_interim_replies_pass(stage: Stage) -> None:
    def answer(peer: Peer, asked: Asked) -> None:
        peer.h2.send_headers(asked.stream_id, [(":status", "103"), ("link", "</a>")])
        peer.answer(asked.stream_id)

    stage.backend(H2Backend(answer).script)
    await stage.open(protocol="h2c")
    client = await stage.client()
    await client.send(get())
    assert b"103" in await client.until(b"\r\n\r\n")
    assert (await client.reply()).body == b"ok"


async def test_a_reset_before_the_reply_is_the_backends_failure(stage: Stage) -> None:
    played = H2Backend(lambda peer, asked: peer.h2.reset_stream(asked.stream_id, ErrorCodes.INTERNAL_ERROR))
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c", http=HttpConfig())
    assert (await ask(stage)).status == 502
    assert (await ask(stage)).status == 502
    assert stage.whys == {Why.RESET_BEFORE_RESPONSE: 2}
    assert stage.count(backend, counters.FAILURES) == 2
    assert len(backend.wires) == 1


async def test_a_client_of_http_1_0_gets_content_without_chunks(stage: Stage) -> None:
    stage.backend(replies(b"body", trailers=True).script)
    await stage.open(protocol="h2c")
    client = await stage.client()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert body == b"body"
    assert b"chunked" not in head


async def test_who_waits_for_a_100_gets_the_backends(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        peer = Peer(wire, {})
        peer.h2.initiate_connection()
        await peer.flush()
        while 1 not in peer.asked:
            await peer.events()
        assert peer.asked[1].get("expect") == "100-continue"
        peer.h2.send_headers(1, [(":status", "100")])
        await peer.flush()
        while not peer.asked[1].is_whole:
            await peer.events()
        peer.answer(1, bytes(peer.asked[1].body))
        await peer.flush()
        await wire.has_ended()

    stage.backend(script)
    await stage.open(protocol="h2c")
    client = await stage.client()
    await client.send(post(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 4"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"body")
    assert (await client.reply()).body == b"body"
