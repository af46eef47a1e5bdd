"""What a client is told without an exchange: refusals, OPTIONS that end here, and how an error looks."""

import html
import json
import re

import pytest
from rawclient import get
from routed import http, prefix, to
from scripts import never
from stage import Stage

from balance.config.model import HttpConfig
from balance.config.route_model import HeaderChange, Redirect, Transform
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


# --- what it quotes ---------------------------------------------------------------------------------------

NASTY = [
    "<script>alert(1)</script>",
    '"><img/src=x/onerror=alert(1)>',
    "';alert(1)//\\",
    "{why}{request_id}",
    "%0d%0aSet-Cookie:x=1",
    "%3Cscript%3E%00",
    "\\u003cscript\\u003e",
    "&lt;&#x27;&amp;",
]
PAGE = '<p>{request_id}<script>var a="{request_id}", b="{why}"</script><i title=\'{request_id}\'>{host}{path}{detail}</i>'
ACCEPTS = ["Accept: text/html", "Accept: application/json"]


@pytest.mark.parametrize("pages", [(), ((503, PAGE), (404, PAGE), (400, PAGE))], ids=["ours", "the user's"])
@pytest.mark.parametrize("accepts", ACCEPTS)
@pytest.mark.parametrize("nasty", NASTY)
async def test_nothing_of_a_request_becomes_markup_or_a_line(
    stage: Stage, nasty: str, accepts: str, pages: tuple[tuple[int, str], ...]
) -> None:
    echoing = Transform(response_headers=(HeaderChange("set", "X-Seen", "{host}|{request_id}|{client_ip}"),))
    gone = to("gone", "gone", match=prefix("/gone"), error_pages=pages, transform=echoing)
    moved = to("moved", "", match=prefix("/moved"), redirect=Redirect(scheme="https"), transform=echoing)
    await stage.open(http=http(gone, moved, error_pages=pages), pools={"gone": []})
    given = (accepts, f"X-Request-Id: {nasty}")
    asked = [
        (503, get("/gone", *given)),
        (404, get(f"/other/{nasty}?{nasty}", *given)),
        (404, get("/other", *given, f"Referer: {nasty}", f"User-Agent: {nasty}", f"Cookie: {nasty}")),
        (308, get(f"/moved/{nasty}?{nasty}", *given)),
        (400, f"GET / HTTP/1.1\r\nHost: {nasty}\r\n{given[0]}\r\n{given[1]}\r\n\r\n".encode()),
    ]
    for status, request in asked:
        client = await stage.client()
        await client.send(request)
        reply = await client.reply()
        assert reply.status in (status, 400), reply.raw
        names = [name.lower() for name, _ in reply.fields]
        assert not {"set-cookie", "x"} & set(names)
        assert len(names) == len(set(names)), reply.raw
        assert reply.raw.count(b"\r\n") == len(reply.fields) + 2
        assert reply.raw.isascii()
        if reply.status == 308:
            location = reply.get("location") or ""
            assert location.startswith("https://a.example/moved/")
            assert not re.search(r"[\x00-\x20\x7f]", location)
            continue
        body = reply.body.decode()
        if not pages and accepts == ACCEPTS[1]:
            assert json.loads(body)["status"] == reply.status
            assert reply.get("content-type") == "application/json"
        else:
            assert body.count("<script>") == (1 if pages else 0)
            assert "<img" not in body
            if pages:
                said = re.search('var a="(.*)", b="[a-z_]+"</script>', body)
                assert said is not None
                assert re.fullmatch(r"([\w.+/=:@%-]|&#\d+;)+", said[1]), said[1]
                assert html.unescape(said[1]) == nasty or reply.status == 400


@pytest.mark.parametrize("sent", ["a\rb", "a\nb", "a\0b", "a\r\nX: y", "a b", "\u2028", "a\x7f"])
async def test_an_id_of_a_request_with_what_no_id_has_is_not_quoted(stage: Stage, sent: str) -> None:
    backend = stage.backend(never)
    await stage.open(http=HttpConfig(error_pages=((503, PAGE),)))
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    client = await stage.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + sent.encode() + b"\r\n\r\n")
    reply = await client.reply()
    assert reply.status in (400, 503)
    if reply.status == 503:
        assert len(reply.body.decode().split("<p>")[1].split("<")[0]) == (1 if "X: y" in sent else 24)
