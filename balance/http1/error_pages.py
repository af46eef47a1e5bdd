"""Error responses that Balance generates itself, in JSON or HTML."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from balance.model import Why

_WANTS_HTML: Final = re.compile(rb"(?i)\r\naccept:[^\r\n]*text/html")
_ALLOW: Final = b"Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n"  # RFC 9110 section 15.5.6: required in a 405
OPTIONS_REPLY: Final = b"HTTP/1.1 204 No Content\r\n" + _ALLOW  # for OPTIONS with Max-Forwards: 0
_RETRY_AFTER_S: Final = 1
# A request may bring its id. A user's page may quote it in an attribute or a script, where a backslash counts as well.
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9._+/=:@%-]")


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
    extra_lines: bytes = b"",
) -> bytes:
    """A complete response. `head` is the received part of the request's head: Accept decides the format, HEAD omits the body.

    `extra_lines` are added to the header. `date` is the Date field (RFC 9110 section 6.6.1), omitted when empty. `pages` has
    the configured error pages by status; ``{request_id}`` and ``{why}`` in them are replaced.
    """
    phrase = HTTPStatus(status).phrase
    kind = "text/html; charset=utf-8"
    if status in pages:
        text = pages[status].replace("{why}", why.word).replace("{request_id}", _NOT_PLAIN.sub(_reference, request_id))
    elif _WANTS_HTML.search(head):
        text = (
            f"<!doctype html><title>{status} {phrase}</title><h1>{status} {phrase}</h1>"
            f"<p>{html.escape(detail)}</p><p>{why.word} · request {html.escape(request_id)}</p>\n"
        )
    else:
        kind = "application/json"
        content = {"status": status, "error": phrase, "why": why.word, "detail": detail, "request_id": request_id}
        text = json.dumps(content) + "\n"
    body = text.encode()
    lines = [f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode()]
    if date:
        lines.append(f"Date: {date}\r\n".encode())
    lines.append(b"Cache-Control: no-store\r\n")
    lines.append(extra_lines)
    if status == 503 and why is not Why.DENIED:  # how long a denial holds is known to who has written it
        lines.append(b"Retry-After: %d\r\n" % _RETRY_AFTER_S)
    if status == 405:
        lines.append(_ALLOW)
    lines.append(b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
    if not head.startswith(b"HEAD "):
        lines.append(body)
    return b"".join(lines)


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
