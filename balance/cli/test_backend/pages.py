"""The pages of the test backend: a response for each request, without I/O."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 1024 * 1024  # for /echo; other pages drop request bodies
MAX_SLOW_MS = 600_000
MAX_BYTES = 10 * 1024**3
SWITCH_WORDS = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
LB_PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>
<h1>{name}</h1>
<p>This backend has answered. Where the balancer keeps sessions, it does so each time, until this browser forgets the cookie.
<p><a href="/lb">Ask again</a> · <a href="/">Without a session</a>
</html>
"""


@dataclass(slots=True)
class Request:
    """One request, its names and values as sent."""

    method: str = ""
    target: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    body_size: int = 0  # bytes received, including dropped ones
    is_keepalive: bool = True
    is_upgrade: bool = False
    refusal: str = ""  # why this is not a valid request

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def header(self, name: str) -> str:
        """The values of a field, joined; empty when it was not sent. `name` in lower case."""
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    def query(self, name: str) -> str | None:
        values = parse_qs(urlsplit(self.target).query, keep_blank_values=True).get(name)
        return values[-1] if values else None


@dataclass(frozen=True, slots=True)
class Page:
    """A response: `body` and `padding` more bytes, after `delay_s`."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    padding: int = 0
    delay_s: float = 0.0
    is_upgrade: bool = False


def text(line: str, status: HTTPStatus = HTTPStatus.OK) -> Page:
    return Page(status, f"{line}\n".encode())


def as_json(document: object, status: HTTPStatus = HTTPStatus.OK) -> Page:
    return Page(status, json.dumps(document).encode() + b"\n", "application/json")


class RefusedError(Exception):
    """A request that the page does not support; the text says what it supports."""


class Site:
    """The pages of one named backend, and the switch that makes it fail its health checks."""

    def __init__(
        self, name: str, *, delay_s: float = 0.0, fail_rate: float = 0.0, websocket: bool = False, catch_all: bool = False
    ) -> None:
        self.name = name
        self.delay_s = delay_s
        self.fail_rate = fail_rate
        self.websocket = websocket
        self.catch_all = catch_all
        self.is_failing = False
        self.served = 0
        self._pages: dict[str, Callable[[Request], Page]] = {
            "/": self._root,
            "/health": self._health,
            "/fail": self._fail,
            "/slow": self._slow,
            "/echo": self._echo,
            "/bytes": self._bytes,
            "/lb": self._lb,
        }
        if websocket:
            self._pages["/ws"] = self._ws

    def page(self, request: Request, rand: float) -> Page:
        """The reply to a request. `rand` in 0..1 decides whether it fails by chance."""
        if request.refusal:
            return text(request.refusal, HTTPStatus.BAD_REQUEST)
        make = self._pages.get(request.path)
        if make is None and self.catch_all:
            make = self._any
        if make is None:
            hint = " (WebSocket needs --websocket)" if request.path == "/ws" else ""
            return text(f"no page {request.path}{hint}; there are {' '.join(self._pages)}", HTTPStatus.NOT_FOUND)
        # Not for health checks and /fail.
        is_steady = make in (self._health, self._fail)
        if not is_steady:
            self.served += 1
            if rand < self.fail_rate:
                return text(f"{self.name} failed on purpose, --fail-rate", HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            page = make(request)
        except RefusedError as error:
            return text(str(error), HTTPStatus.BAD_REQUEST)
        if self.delay_s and not is_steady:
            return Page(page.status, page.body, page.content_type, page.padding, page.delay_s + self.delay_s)
        return page

    def _root(self, request: Request) -> Page:
        if "application/json" in request.header("accept"):
            return as_json({"backend": self.name, "path": request.target, "served": self.served})
        return text(self.name)

    def _lb(self, request: Request) -> Page:
        """For a person with a browser who wants to see sticky sessions: who answers, and a link to ask again."""
        if "text/html" not in request.header("accept"):
            return text(f"{self.name} answers; with sessions it does so each time, until you forget its cookie")
        return Page(HTTPStatus.OK, LB_PAGE.format(name=escape(self.name)).encode(), "text/html; charset=utf-8")

    def _any(self, request: Request) -> Page:
        fields = (f"{name.lower()}: {value}" for name, value in request.headers)
        return text("\n".join([f"{self.name} {request.method} {request.target}", *fields]))

    def _health(self, request: Request) -> Page:
        if self.is_failing:
            return text(f"{self.name} is failing, as POST /fail asked", HTTPStatus.SERVICE_UNAVAILABLE)
        return text("ok")

    def _fail(self, request: Request) -> Page:
        wanted = request.query("on")
        if wanted is not None and wanted not in SWITCH_WORDS:
            raise RefusedError(f"on={wanted!r} is not one of {', '.join(SWITCH_WORDS)}")
        if wanted is not None or request.method == "POST":
            self.is_failing = SWITCH_WORDS[wanted or "1"]
        return text(f"{self.name} {'fails' if self.is_failing else 'passes'} its health checks")

    def _slow(self, request: Request) -> Page:
        delay_ms = number(request, "ms", default=500, highest=MAX_SLOW_MS)
        return Page(HTTPStatus.OK, f"{self.name} waited {delay_ms} ms\n".encode(), delay_s=delay_ms / 1000)

    def _bytes(self, request: Request) -> Page:
        return Page(HTTPStatus.OK, b"", "application/octet-stream", number(request, "n", default=1024, highest=MAX_BYTES))

    def _echo(self, request: Request) -> Page:
        if request.body_size > MAX_BODY:
            return text(f"/echo takes up to {MAX_BODY} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        document: dict[str, object] = {
            "backend": self.name,
            "method": request.method,
            "path": request.target,
            "headers": request.headers,
            "body_size": request.body_size,
        }
        try:
            document["body"] = request.body.decode()
        except UnicodeDecodeError:
            document["body_base64"] = base64.b64encode(request.body).decode()
        return as_json(document)

    def _ws(self, request: Request) -> Page:
        is_websocket = request.is_upgrade and request.header("upgrade").lower() == "websocket"
        if not is_websocket or request.method != "GET" or not request.header("sec-websocket-key"):
            return text("/ws speaks WebSocket only", HTTPStatus.UPGRADE_REQUIRED)
        if request.header("sec-websocket-version") != "13":
            return text("/ws speaks version 13 only", HTTPStatus.UPGRADE_REQUIRED)
        return Page(HTTPStatus.SWITCHING_PROTOCOLS, b"", is_upgrade=True)


def number(request: Request, name: str, *, default: int, highest: int) -> int:
    """A whole number from the query."""
    value = request.query(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 20 and int(value) <= highest):
        raise RefusedError(f"{name}={value!r} is not a whole number in 0..{highest}")
    return int(value)
