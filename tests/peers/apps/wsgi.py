"""The site for gunicorn: what every dynamic server of the battery answers, as WSGI has it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pages import BIG, COOKIES, EVENTS, HELLO, OTHERS, PIECES, SECRET, is_admin

Start = Callable[[str, list[tuple[str, str]]], object]


def application(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    path, port = environ["PATH_INFO"], environ.get("REMOTE_PORT", "")

    def start(status: str, *fields: tuple[str, str]) -> None:
        start_response(status, [("X-Remote-Port", str(port)), *fields])

    match path.split("/")[1:]:
        case ["hello"]:
            if environ.get("HTTP_IF_NONE_MATCH") == '"v1"':
                start("304 Not Modified", ("ETag", '"v1"'))
                return []
            start("200 OK", ("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO))), ("ETag", '"v1"'), *COOKIES)
            return [HELLO]
        case ["big"]:
            start("200 OK", ("Content-Type", "application/octet-stream"), ("Content-Length", str(len(BIG))))
            return [BIG]
        case ["pieces"]:
            start("200 OK", ("Content-Type", "text/plain"))
            return iter(PIECES)
        case ["events"]:
            start("200 OK", ("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"))
            return events()
        case ["status", code]:
            start(f"{code} So", ("Content-Type", "text/plain"), *([] if code == "204" else [("Content-Length", "4")]))
            return [] if code == "204" else [b"so.\n"]
        case ["away"]:
            start("302 Found", ("Location", "/hello"), ("Content-Length", "0"))
            return []
        case ["refuse"]:
            start("413 Too Large", ("Content-Length", "10"), ("Connection", "close"))
            return [b"too large\n"]
        case ["echo"]:
            body = environ["wsgi.input"].read()
            told = {
                "method": environ["REQUEST_METHOD"],
                "query": environ["QUERY_STRING"],
                "host": environ["HTTP_HOST"],
                "custom": environ.get("HTTP_X_CUSTOM", ""),
                "size": len(body),
                "sha": hashlib.sha256(body).hexdigest(),
            }
            answer = json.dumps(told).encode()
            start("200 OK", ("Content-Type", "application/json"), ("Content-Length", str(len(answer))))
            return [answer]
        case _ if is_admin(path) or path in OTHERS:
            start("200 OK", ("Content-Type", "text/plain"))
            return [SECRET if is_admin(path) else HELLO]
    start("404 Not Found", ("Content-Length", "0"))
    return []


def events() -> Iterator[bytes]:
    for event in EVENTS:
        yield event
        time.sleep(0.05)
