"""The replies that Balance gives itself: small, honest, in JSON or HTML, never from a cache."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from http import HTTPStatus

from balance.model import Why

_WANTS_HTML = re.compile(rb"(?i)\r\naccept:[^\r\n]*text/html")
_ALLOW = b"Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n"  # RFC 9110 section 15.5.6: a 405 must say it
OPTIONS_REPLY = b"HTTP/1.1 204 No Content\r\n" + _ALLOW  # to one that may not go further (Max-Forwards: 0)
_RETRY_AFTER_S = 1


def error_reply(
    status: int,
    why: Why,
    detail: str,
    request_id: str,
    head: bytes,
    *,
    keep_alive: bool,
    pages: Mapping[int, str],
    date: str = "",
    told: bytes = b"",
) -> bytes:
    """A whole reply. `head` is the request's head as far as it came: it decides the format, and whether a body is sent.

    `told` are lines for its head. `date` is for the Date field (RFC 9110 section 6.6.1); without a clock it is left out.
    `pages` holds the user's own pages by status; ``{request_id}`` and ``{why}`` in them are filled in.
    """
    phrase = HTTPStatus(status).phrase
    kind = "text/html; charset=utf-8"
    if status in pages:
        text = pages[status].replace("{request_id}", request_id).replace("{why}", why.word)
    elif _WANTS_HTML.search(head):
        text = (
            f"<!doctype html><title>{status} {phrase}</title><h1>{status} {phrase}</h1>"
            f"<p>{html.escape(detail)}</p><p>{why.word} · request {html.escape(request_id)}</p>\n"
        )
    else:
        kind = "application/json"
        said = {"status": status, "error": phrase, "why": why.word, "detail": detail, "request_id": request_id}
        text = json.dumps(said) + "\n"
    body = text.encode()
    lines = [f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode()]
    if date:
        lines.append(f"Date: {date}\r\n".encode())
    lines.append(b"Cache-Control: no-store\r\n")
    lines.append(told)
    if status == 503:
        lines.append(b"Retry-After: %d\r\n" % _RETRY_AFTER_S)
    if status == 405:
        lines.append(_ALLOW)
    lines.append(b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
    if not head.startswith(b"HEAD "):
        lines.append(body)
    return b"".join(lines)
