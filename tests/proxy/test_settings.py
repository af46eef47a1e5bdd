"""What a listener's settings of HTTP change in what a backend gets and a client is told."""

import pytest
from rawclient import Message, get, ok, post
from stage import Stage, serve

from balance.config.model import HttpConfig, Limits, ReplyHeaders


async def asked(stage: Stage, http: HttpConfig, request: bytes) -> tuple[Message, list[Message]]:
    """The reply, and what the backend was sent."""
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open(http=http)
    client = await stage.client()
    await client.send(request)
    return await client.reply(), seen


@pytest.mark.parametrize("request_id", [True, False])
async def test_a_request_has_an_id_where_that_is_asked_for(stage: Stage, request_id: bool) -> None:
    _, (request,) = await asked(stage, HttpConfig(request_id=request_id), get())
    assert (request.get("x-request-id") is not None) is request_id


def plain(*fields: str) -> bytes:
    return ok(b"ok", *fields)


REPLIES = [
    plain(),
    b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + bytes(70_000),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n",
    b"junk",  # then it is our own page
]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("tells", [True, False])
async def test_a_reply_says_its_requests_id(stage: Stage, reply: bytes, version: str, tells: bool) -> None:
    if version == "1.0" and b" 101 " in reply:
        return
    seen: list[str | None] = []

    def answer(request: Message) -> bytes:
        seen.append(request.get("x-request-id"))
        return reply

    stage.backend(serve(answer))
    await stage.open(http=HttpConfig(reply_headers=ReplyHeaders(request_id=tells)))
    client = await stage.client()
    for connection in ("keep-alive, upgrade", "close"):
        request = f"GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\nUpgrade: any\r\n\r\n"
        await client.send(request.encode())
        message = await client.reply()
        assert message.all("x-request-id") == ([seen[-1]] if tells else [])
        assert message.get("x-backend") is None
        if message.status == 101 or message.get("connection") == "close":
            break


async def test_the_id_that_a_client_or_a_backend_gave_is_the_one(stage: Stage) -> None:
    stage.backend(serve(lambda request: plain() if request.target == "/" else plain("X-Request-ID: its-own")))
    await stage.open()
    client = await stage.client()
    for target, expected in (("/", "clients"), ("/own", "its-own")):
        await client.send(get(target, "X-Request-ID: clients"))
        assert (await client.reply()).all("x-request-id") == [expected]


async def test_what_is_refused_and_what_ends_here_has_an_id_too(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    for request, status in (("OPTIONS / HTTP/1.1\r\nMax-Forwards: 0\r\nHost: a\r\n\r\n", 204), ("GET / HTTP/1.1\r\n\r\n", 400)):
        await client.send(request.encode())
        reply = await client.reply()
        assert (reply.status, len(reply.get("x-request-id") or "")) == (status, 24)


@pytest.mark.parametrize("request_id", [True, False])
async def test_a_reply_names_its_backend_where_that_is_asked_for(stage: Stage, request_id: bool) -> None:
    stage.backend(serve(ok(b"ok", "X-Backend: what it calls itself", "x-backend: and more")))
    stage.backend(serve(b"junk"))
    await stage.open(http=HttpConfig(reply_headers=ReplyHeaders(request_id, backend=True)))
    client = await stage.client()
    seen = []
    for _ in range(2):
        await client.send(get())
        reply = await client.reply()
        seen.append((reply.status, reply.get("x-backend"), reply.get("x-request-id") is not None))
    assert sorted(seen) == [(200, "n1", request_id), (502, "n2", request_id)]


@pytest.mark.parametrize("via", [True, False])
async def test_a_request_names_this_proxy_where_that_is_asked_for(stage: Stage, via: bool) -> None:
    _, (request,) = await asked(stage, HttpConfig(via=via), get())
    assert (request.get("via") is not None) is via


@pytest.mark.parametrize(
    ("http", "arrives"),
    [
        (HttpConfig(), None),
        (HttpConfig(underscore_headers="pass"), "1"),
    ],
)
async def test_a_name_with_an_underscore_arrives_where_it_may(stage: Stage, http: HttpConfig, arrives: str | None) -> None:
    _, (request,) = await asked(stage, http, get("/", "X_Y: 1"))
    assert request.get("x_y") == arrives


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0 \r\n\r\n",
        b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok",
    ],
)
@pytest.mark.parametrize("strictness", ["strict", "tolerant"])
async def test_a_reply_that_breaks_a_rule_and_has_one_reading_goes_on_where_it_may(
    stage: Stage, sent: bytes, strictness: str
) -> None:
    stage.backend(serve(sent))
    await stage.open(http=HttpConfig(strictness=strictness))
    client = await stage.client()
    await client.send(get())
    reply = await client.reply()
    if strictness == "tolerant":
        assert (reply.status, reply.body) == (int(sent[9:12]), b"" if b" 204 " in sent else b"ok")
    else:
        assert reply.status == 502


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (Limits(), 200),
        (Limits(head_bytes=512), 431),
        (Limits(line_bytes=100), 414),
        (Limits(fields=3), 431),
        (Limits(body_bytes=4), 413),
    ],
)
async def test_what_is_beyond_a_limit_never_reaches_a_backend(stage: Stage, limits: Limits, status: int) -> None:
    request = post(b"12345", *(f"X-{number}: {'y' * 90}" for number in range(5)), target="/" + "x" * 200)
    reply, seen = await asked(stage, HttpConfig(limits=limits), request)
    assert (reply.status, len(seen)) == (status, status == 200)
