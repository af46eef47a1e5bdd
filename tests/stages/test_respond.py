"""The stage of a route with a fixed response."""

import pytest
from contexts import request_context

from balance.config.route_model import FixedResponse, RouteConfig
from balance.model import Why
from balance.stages.respond import respond_stage

TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"


def test_route_without_a_response_has_no_stage() -> None:
    assert respond_stage(RouteConfig("r"), None) is None


@pytest.mark.parametrize(
    ("response", "lines", "body"),
    [
        (FixedResponse(body="läuft\n"), TEXT, "läuft\n".encode()),
        (FixedResponse(200, "{}", (("content-type", "application/json"),)), b"content-type: application/json\r\n", b"{}"),
        (FixedResponse(410, "gone", (("X-A", "1"), ("X-A", " 2"))), TEXT + b"X-A: 1\r\nX-A: 2\r\n", b"gone"),
        (FixedResponse(204, "ignored"), b"", b""),
        (FixedResponse(304, "ignored", (("ETag", '"x"'),)), b'ETag: "x"\r\n', b""),
        (FixedResponse(404), b"", b""),
    ],
)
def test_response_is(response: FixedResponse, lines: bytes, body: bytes) -> None:
    stage = respond_stage(RouteConfig("r", respond=response), None)
    assert stage is not None
    reply = stage.on_request(request_context())
    assert (reply.status, reply.why, reply.lines, reply.body) == (response.status, Why.FIXED_RESPONSE, lines, body)


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A\r\n", "1"),
        ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ],
)
def test_header_that_would_split_the_reply_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError):
        respond_stage(RouteConfig("r", respond=FixedResponse(headers=(header,))), None)
