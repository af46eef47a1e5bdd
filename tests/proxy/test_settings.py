"""What a listener's settings of HTTP change in what a backend gets and a client is told."""

import pytest
from rawclient import Message, get, ok, post
from stage import Stage, serve

from balance.config.model import HttpConfig, Limits


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
