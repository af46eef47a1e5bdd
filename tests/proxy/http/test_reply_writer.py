"""A reply on its way back: heads of every kind, the 1xx before them, bodies however they end, and what is no reply at all."""

import asyncio
import json

import pytest
from rawclient import Wire, chunked, get, ok, post
from scripts import CHUNKED, ask, failures, says, says_and_waits
from stage import Stage, serve, until

from balance.config.model import AccessLog, Timeouts
from balance.http1.response import MAX_HEAD
from balance.model import Why
from balance.proxy.http.exchange.reply_head import INTERIMS_PER_S, MAX_INTERIMS

# --- final replies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_sent", "reply_sent"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        (get(), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (get(), b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        (get(), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
        (get(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_reply_without_a_body_keeps_both_connections_in_step(
    stage: Stage, request_sent: bytes, reply_sent: bytes
) -> None:
    backend = stage.backend(serve(reply_sent))
    await stage.open()
    client = await stage.client()
    for _ in range(3):
        await client.send(request_sent)
        reply = await client.reply(request_sent.split(b" ")[0].decode())
        assert (reply.status, reply.body) == (int(reply_sent[9:12]), b"")
    assert len(backend.wires) == 1


async def test_reply_that_only_the_close_ends_is_complete_at_the_close(stage: Stage) -> None:
    stage.backend(says(b"HTTP/1.1 200 OK\r\n\r\n", b"all" * 100_000))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    reply = await client.reply()
    assert reply.body == b"all" * 100_000
    assert stage.whys == {Why.OK: 1}


async def test_chunks_are_taken_off_for_http_1_0(stage: Stage) -> None:
    stage.backend(serve(CHUNKED + chunked(b"one", b"two" * 10_000, trailers=b"X-T: 1\r\n")))
    await stage.open()
    for fields in (b"", b"Connection: keep-alive\r\n"):
        client = await stage.client()
        await client.send(b"GET / HTTP/1.0\r\n" + fields + b"\r\n")
        reply = await client.reply()
        assert reply.get("transfer-encoding") is None
        assert reply.body == b"one" + b"two" * 10_000


async def test_bytes_behind_a_reply_reach_nobody(stage: Stage) -> None:
    backend = stage.backend(serve(ok(b"one") + ok(b"poison")))
    await stage.open()
    client = await stage.client()
    for _ in range(3):
        await client.send(get())
        assert (await client.reply()).body == b"one"
    assert len(backend.wires) == 3
    client.half_close()
    assert await client.ending() == "eof"


# --- interim ones, and replies in their place -------------------------------------------------------------


async def test_interim_replies_are_passed_on_in_order(stage: Stage) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    backend = stage.backend(serve(hint + hint + ok()))
    await stage.open()
    client = await stage.client()
    for _ in range(2):
        await client.send(get())
        replies = [await client.reply() for _ in range(3)]
        assert [reply.status for reply in replies] == [103, 103, 200]
        assert replies[0].get("link") == "</a.css>"
    assert len(backend.wires) == 1


async def test_interim_replies_are_kept_from_http_1_0(stage: Stage) -> None:
    stage.backend(serve(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok()))
    await stage.open()
    assert (await ask(stage, b"GET / HTTP/1.0\r\n\r\n")).status == 200


async def test_interim_replies_without_end_are_a_broken_backend(stage: Stage) -> None:
    stage.backend(says_and_waits(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10 * MAX_INTERIMS))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    passed = 0
    while (status := (await client.reply()).status) == 103:
        passed += 1
    assert status == 502
    assert MAX_INTERIMS <= passed < 5 * MAX_INTERIMS
    assert failures(stage) == [1]


async def test_interim_replies_of_a_long_request_are_not_summed_up(stage: Stage) -> None:
    more = 8

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n" * MAX_INTERIMS)
        for _ in range(more):
            await asyncio.sleep(1.2 / INTERIMS_PER_S)
            await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await wire.send(ok())

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(get())
    statuses = [(await client.reply()).status for _ in range(MAX_INTERIMS + more + 1)]
    assert statuses == [102] * (MAX_INTERIMS + more) + [200]


async def test_backends_100_lets_the_body_go(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        request = await wire.head()
        assert request is not None and request.get("expect") == "100-continue"
        assert wire.unread == b""
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.body(request)
        await wire.send(ok(request.body))

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    request = post(b"the body", "Expect: 100-continue")
    await client.send(request[:-8])
    assert (await client.reply()).status == 100
    await client.send(request[-8:])
    assert (await client.reply()).body == b"the body"


async def test_final_reply_instead_of_100_ends_the_connection(stage: Stage) -> None:
    """Nobody can know whether the body still comes."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        await wire.rest()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(post(b"the body", "Expect: 100-continue")[:-8])
    reply = await client.reply()
    assert (reply.status, reply.get("connection")) == (417, "close")
    client.half_close()
    assert await client.ending() == "eof"


# --- what is no reply -------------------------------------------------------------------------------------


NO_REPLIES = [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "'SSH-2.0-OpenSSH_9.2' is not a status line"),
    (b"<html>hello</html>", "'<html>hello</html>' is not a status line"),  # HTTP/0.9
    (b"\x16\x03\x03\x00\x02", r"'\x16\x03\x03\x00\x02' is not a status line"),  # TLS
    (b"HTTP/1.1 OK\r\n", "'HTTP/1.1 OK' is not a status line"),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "a bare CR or LF in the head"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\n", "a bare CR or LF in the head"),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok\r\n\r\n", "a bare CR or LF in the head"),
    (b"HTTP/1.1 200 OK\r\nno colon\r\n", "'no colon' is not a header field"),
    (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n", r"'X: a\x00b' is not a header field"),
    (b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n", "'X : a' is not a header field"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "more than one Content-Length"),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "ambiguous framing: Transfer-Encoding where it cannot be trusted",
    ),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 202, "more than 200 header fields"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"y" * 995) * (MAX_HEAD // 1000 + 1), f"a head of more than {MAX_HEAD} bytes"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n\r\n" % (b"y" * MAX_HEAD), f"a head of more than {MAX_HEAD} bytes"),
    (CHUNKED + b"nonsense\r\n", "'nonsense' is not a chunk size"),
]


@pytest.mark.parametrize(("sent", "rule"), NO_REPLIES)
async def test_reply_that_can_not_be_read_is_502_and_says_at_once_which_rule_it_breaks(
    stage: Stage, sent: bytes, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In its page, in the access log, and in the log."""
    stage.backend(says_and_waits(sent))
    await stage.open(access=AccessLog(enabled=True, output=str(stage.folder / "log")))
    reply = await ask(stage, get())
    said = json.loads(reply.body)
    assert (reply.status, said["why"]) == (502, "bad_response")
    assert said["detail"] == f"the backend's reply was not understood: {rule}"
    assert failures(stage) == [1]
    logged_for = [getattr(record, "request_id", None) for record in caplog.records if rule in record.getMessage()]
    assert logged_for == [said["request_id"]]
    await until(lambda: stage.of(stage.backends[0]).open_count == 0)
    await until(lambda: (stage.folder / "log").read_text().endswith("\n"))
    assert json.loads((stage.folder / "log").read_text())["detail"] == said["detail"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_so_does_one_that_comes_in_pieces(stage: Stage, size: int) -> None:
    sent = b"HTTP/1.1 200 OK\r\nDate: today\r\nX-A: b\nContent-Length: 0\r\n"

    async def script(wire: Wire) -> None:
        await wire.request()
        for start in range(0, len(sent), size):
            await wire.send(sent[start : start + size])
            await asyncio.sleep(0.001)  # so that each piece is read by itself
        await wire.rest()

    stage.backend(script)
    await stage.open()
    assert json.loads((await ask(stage, get())).body)["detail"].endswith("a bare CR or LF in the head")


async def test_junk_of_a_backend_does_not_fill_the_log(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.backend(says(b"junk"))
    await stage.open()
    for _ in range(20):
        await ask(stage, get())
    assert 1 <= len([record for record in caplog.records if "'junk'" in record.getMessage()]) <= 5


async def test_head_that_does_not_end_in_time_is_told_from_no_reply(stage: Stage) -> None:
    stage.backend(says_and_waits(b"HTTP/1.1 200 OK\r\nContent-"))
    await stage.open(timeouts=Timeouts(read_s=0.1), access=AccessLog(enabled=True, output=str(stage.folder / "log")))
    assert (await ask(stage, get())).status == 504
    await until(lambda: (stage.folder / "log").read_text().endswith("\n"))
    assert json.loads((stage.folder / "log").read_text())["detail"] == "its reply's head did not end"


async def test_chunks_that_turn_to_rubbish_break_the_reply_off(stage: Stage) -> None:
    backend = stage.backend(says_and_waits(CHUNKED, b"3\r\none\r\n"))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await client.head()
    assert await client.exactly(8) == b"3\r\none\r\n"
    await backend.wires[0].send(b"rubbish\r\n")
    assert await client.ending() in ("eof", "reset")  # without the last chunk
    await stage.settled()
    assert stage.whys == {Why.BAD_RESPONSE: 1}
