"""Generated error responses: well-formed, in the client's format, escaped."""

import json
from http import HTTPStatus

import pytest
from reading import reply
from response_cases import Relayed

from balance.http1.error_pages import OPTIONS_REPLY, error_reply
from balance.http1.response import ResponseReader
from balance.model import Why

STATUSES = (400, 404, 405, 408, 413, 414, 417, 421, 429, 431, 501, 502, 503, 504, 505)
HTML = b"GET / HTTP/1.1\r\nHost: a\r\nACCEPT: text/html, */*\r\n\r\n"


def parts(page: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = page.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTML, b""], ids=["json", "html", "nothing came"])
def test_page_is_a_reply_that_we_would_pass_on_ourselves(status: int, head: bytes) -> None:
    page = error_reply(status, Why.BAD_REQUEST, "detail", "r1", head, keep_alive=True, pages={})
    assert reply(page, b"GET", ResponseReader()) == Relayed(status, parts(page)[1])
    assert parts(page)[0][0] == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
    assert b"Cache-Control: no-store" in parts(page)[0]


def test_json_says_all_there_is_to_say() -> None:
    page = error_reply(504, Why.CONNECT_TIMEOUT, 'a "b"', "r1", b"GET / HTTP/1.1\r\n\r\n", keep_alive=True, pages={})
    said = {"status": 504, "error": "Gateway Timeout", "why": "connect_timeout", "detail": 'a "b"', "request_id": "r1"}
    assert json.loads(parts(page)[1]) == said


def test_html_is_for_those_who_accept_it_and_escapes_what_it_quotes() -> None:
    page = error_reply(400, Why.BAD_REQUEST, "<script>'x'", "<id>", HTML, keep_alive=True, pages={})
    assert b"Content-Type: text/html; charset=utf-8" in parts(page)[0]
    assert b"&lt;script&gt;&#x27;x&#x27;" in page
    assert b"&lt;id&gt;" in page
    assert b"<script>" not in page


def test_accept_that_is_not_a_field_changes_nothing() -> None:
    page = error_reply(
        400, Why.BAD_REQUEST, "", "", b"GET /?accept:text/html HTTP/1.1\r\nX: text/html\r\n\r\n", keep_alive=True, pages={}
    )
    assert b"Content-Type: application/json" in parts(page)[0]  # fmt: skip


def test_reply_to_head_has_the_length_of_the_body_that_it_leaves_out() -> None:
    told = {"keep_alive": True, "pages": {}}
    full = error_reply(502, Why.BAD_RESPONSE, "d", "r", b"GET / HTTP/1.1\r\n\r\n", **told)
    head = error_reply(502, Why.BAD_RESPONSE, "d", "r", b"HEAD / HTTP/1.1\r\n\r\n", **told)
    assert full.startswith(head)
    assert parts(head)[1] == b""
    assert b"Content-Length: %d" % len(parts(full)[1]) in parts(head)[0]


@pytest.mark.parametrize(
    ("status", "keep_alive", "line"),
    [(503, True, b"Retry-After: 1"), (405, True, b"Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
     (400, False, b"Connection: close")],
)  # fmt: skip
def test_status_brings_the_field_that_it_needs(status: int, keep_alive: bool, line: bytes) -> None:
    page = error_reply(status, Why.OK, "", "", b"", keep_alive=keep_alive, pages={})
    others = error_reply(404, Why.OK, "", "", b"", keep_alive=True, pages={})
    assert line in parts(page)[0]
    assert line not in parts(others)[0]


def test_how_long_a_denial_holds_is_not_guessed() -> None:
    page = error_reply(503, Why.DENIED, "", "", b"", keep_alive=True, pages={})
    assert b"Retry-After" not in page


def test_users_own_page_stands_in_for_both_formats() -> None:
    pages = {503: "<p>Zurück {request_id} {why} {detail}</p>"}
    for head in (HTML, b"GET / HTTP/1.1\r\n\r\n"):
        page = error_reply(503, Why.NO_HEALTHY, "secret", "r1", head, keep_alive=True, pages=pages)
        assert parts(page)[1].decode() == "<p>Zurück r1 no_healthy {detail}</p>"
        assert b"Content-Length: %d" % len(parts(page)[1]) in parts(page)[0]


def test_options_that_ends_here_is_answered_without_a_body() -> None:
    assert reply(OPTIONS_REPLY + b"\r\n", b"OPTIONS", ResponseReader()) == Relayed(204)


@pytest.mark.parametrize("head", [HTML, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["html", "json"])
def test_host_and_path_that_are_quoted_cannot_be_markup_or_a_line(head: bytes) -> None:
    detail = 'no route for <b>a\r\nX: 1\r\n\r\n</b>"\u2028/%0d%0a</script>'
    page = error_reply(404, Why.NO_ROUTE, detail, "r1", head, keep_alive=True, pages={})
    lines, body = parts(page)
    assert not [line for line in lines if line.startswith(b"X:")]
    assert b"Content-Length: %d" % len(body) in lines
    if head == HTML:
        assert b"<b>" not in body
        assert b"</script>" not in body
    else:
        assert json.loads(body)["detail"] == detail
