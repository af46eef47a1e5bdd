"""HTTP health check, plain or over TLS: the status and body of a path. It speaks what the traffic does: HTTP/1.1 (RFC 9112), or
HTTP/2 to a backend of protocol h2 or h2c.

Responses are parsed as on the data path: a backend whose responses would be refused is not healthy.
Reads at most LIMIT_BYTES. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import time

from balance.config.model import BackendConfig, HealthCheck
from balance.errors import ProtocolError
from balance.http1.reply_feed import ReplyFeed
from balance.model import Address
from balance.probes.check_tls import check_tls
from balance.probes.dial import authority, connection, is_elsewhere, proxy_header, target
from balance.probes.http2 import Http2Question
from balance.probes.result import Result, failure_reason, is_explicit, unusable
from balance.tls.pem_loading import TlsError
from balance.version import VERSION

LIMIT_BYTES = 64 * 1024
READ_BYTES = 16 * 1024


class Reply:
    """A response as read so far, by the rules of the data path: what it answers with 502 fails the check."""

    def __init__(self, method: str, *, is_tolerant: bool = False) -> None:
        self.body = bytearray()
        self._feed = ReplyFeed(method, is_tolerant=is_tolerant)

    @property
    def status(self) -> int:
        """Of the final response; 0 before its head is complete."""
        return self._feed.status

    @property
    def is_complete(self) -> bool:
        return self._feed.is_complete

    def feed(self, data: bytes) -> None:
        """Process received bytes. ProtocolError when the data path would not pass them on."""
        self.body += self._feed.feed(data)

    def end(self) -> None:
        """The backend closed the connection."""
        self._feed.end()


def request(check: HealthCheck, address: Address) -> bytes:
    """The request of HTTP/1.1. Fields of health_check.headers replace ours of the same name."""
    fields = _fields(check, address) | {"connection": ("Connection", "close")}
    lines = [f"{check.method} {check.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.values())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _fields(check: HealthCheck, address: Address) -> dict[str, tuple[str, str]]:
    fields = {"host": ("Host", authority(check, address)), "user-agent": ("User-Agent", f"balance-health/{VERSION}")}
    fields |= {"accept": ("Accept", "*/*")}
    return fields | {name.lower(): (name, value) for name, value in check.headers}


def question(check: HealthCheck, address: Address, scheme: str) -> Http2Question:
    """The same over HTTP/2."""
    fields = _fields(check, address)
    _, host = fields.pop("host")
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.values()).encode("utf-8")
    return Http2Question(scheme, check.method, host, check.path, lines)


def speaks_http2(check: HealthCheck, backend: BackendConfig) -> bool:
    """Whether the backend has nothing else where it is asked."""
    if is_elsewhere(check):
        return False
    return backend.protocol == "h2" or (backend.protocol == "h2c" and check.kind == "http")


def expected(check: HealthCheck) -> str:
    """The expected statuses as text: `200`, `200-299 or 401`."""
    return " or ".join(str(low) if low == high else f"{low}-{high}" for low, high in check.expected_status)


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Passes when the status and the body are as expected, within the timeout. `https`, and `http` where the backend has TLS,
    are over TLS.
    """
    started = time.monotonic()
    where = target(check, backend.address)
    reply = Reply(check.method, is_tolerant=check.strictness == "tolerant")
    try:
        is_http2 = speaks_http2(check, backend)
        alpn = "h2" if is_http2 else "http/1.1"
        tls = check_tls(check, backend, where, is_elsewhere=is_elsewhere(check), alpn=alpn)
        asked = question(check, where, "http" if tls is None else "https") if is_http2 else None
        opened = connection(where, tls=tls, header=proxy_header(check))
        async with asyncio.timeout(check.timeout_s), opened as (reader, writer):
            writer.write(request(check, where) if asked is None else asked.to_send())
            is_ok, reason = await _judge(check, reply, reader, writer, asked)
        explicit = not is_ok  # any complete response that fails
    except ProtocolError as error:
        is_ok, reason, explicit = False, f"the answer is refused, as requests' would be: {error.detail}", True
    except TlsError as error:
        is_ok, reason, explicit = False, unusable(error), False
    except OSError as error:
        if isinstance(error, TimeoutError) and _is_good_so_far(check, reply):
            is_ok, reason, explicit = True, f"status {reply.status}", False  # an endless body
        else:
            is_ok, reason, explicit = False, failure_reason(error, where, check.timeout_s), is_explicit(error)
    return Result(is_ok, reason, time.monotonic() - started, explicit)


def _is_good_so_far(check: HealthCheck, reply: Reply) -> bool:
    return _is_expected(check, reply.status) and check.expected_body.encode() in reply.body


def _is_expected(check: HealthCheck, status: int) -> bool:
    return any(low <= status <= high for low, high in check.expected_status)


async def _judge(
    check: HealthCheck,
    reply: Reply,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    asked: Http2Question | None,
) -> tuple[bool, str]:
    received = 0
    while not reply.is_complete:
        data = await reader.read(min(READ_BYTES, LIMIT_BYTES - received))
        if data:
            received += len(data)
            if asked is None:
                reply.feed(data)
            else:
                reply.feed(asked.feed(data))
                writer.write(asked.to_send())
        else:
            reply.end()
        if reply.status and not _is_expected(check, reply.status):
            return False, f"status {reply.status}, expected {expected(check)}"
        if reply.is_complete:
            break
        if not data:
            return False, "closed without an answer" if not received else "closed before the answer was complete"
        if received >= LIMIT_BYTES:
            if _is_good_so_far(check, reply):
                break
            missing = f"{check.expected_body!r} is" if reply.status else "the end of the header is"
            return False, f"{missing} not within the first {LIMIT_BYTES // 1024} KB of the answer"
    if _is_good_so_far(check, reply):
        return True, f"status {reply.status}"
    return False, f"status {reply.status}, but the body does not contain {check.expected_body!r}"
