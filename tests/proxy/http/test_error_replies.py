"""What a client is told without an exchange: refusals, OPTIONS that end here, and how an error looks."""

import json

import pytest
from rawclient import get
from scripts import never
from stage import Stage

from balance.config.model import HttpConfig
from balance.model import Why
from balance.runtime import counters

# --- what never became a request --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400, Why.BAD_REQUEST),  # TLS to a port that speaks none
        (b"GET / HTTP/1.1\nHost: a\n", 400, Why.BAD_REQUEST),
        (b"GET /" + b"x" * 9000, 414, Why.URI_TOO_LONG),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9000, 431, Why.HEADER_TOO_LARGE),
    ],
)
async def test_head_that_can_not_become_a_request_is_refused_before_its_end(
    stage: Stage, sent: bytes, status: int, why: Why
) -> None:
    backend = stage.backend(never)
    await stage.open()
    client = await stage.client()
    await client.send(sent)
    reply = await client.reply()
    assert (reply.status, reply.get("connection")) == (status, "close")
    assert json.loads(reply.body)["why"] == why.word
    assert await client.ending() == "eof"
    assert stage.whys == {why: 1}
    assert stage.cell(counters.RESPONSE_SIZE + counters.SIZE_SUM) > len(reply.body)
    assert backend.wires == []


async def test_refusal_names_the_request_as_the_log_does(stage: Stage) -> None:
    stage.backend(never)
    await stage.open()
    client = await stage.client()
    await client.send(b"PRI / HTTP/1.1\r\nHost: a\r\n\r\n")
    reply = await client.reply()
    assert reply.status == 501
    assert len(json.loads(reply.body)["request_id"]) == 24


async def test_options_that_may_go_no_further_is_answered_here(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    client = await stage.client()
    client.send_now(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n" * 3)
    assert [(await client.reply()).status for _ in range(3)] == [204, 204, 204]
    assert backend.wires == []


# --- what an error looks like -----------------------------------------------------------------------------


async def test_error_comes_as_html_where_that_is_asked_for(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    client = await stage.client()
    await client.send(get("/", "Accept: text/html,*/*", "X-Request-Id: mine"))
    reply = await client.reply()
    assert (reply.status, reply.get("retry-after"), reply.get("content-type")) == (503, "1", "text/html; charset=utf-8")
    assert b"no_healthy" in reply.body and b"mine" in reply.body
    await client.send(get("/", "X-Request-Id: mine"))
    said = json.loads((await client.reply()).body)
    assert (said["status"], said["why"], said["request_id"]) == (503, "no_healthy", "mine")


async def test_error_has_the_users_page(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=HttpConfig(error_pages=((503, "<p>back soon {why}"),)))
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"<p>back soon no_healthy"


async def test_answer_to_head_has_no_body(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    client = await stage.client()
    for _ in range(2):
        await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.reply("HEAD")).status == 503
