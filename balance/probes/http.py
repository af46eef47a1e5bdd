"""The question "does this path answer as expected?", asked in HTTP/1.1 (RFC 9112) on a connection of its own.

Reads no more than LIMIT_BYTES, whatever the backend sends; redirects are answers like any other, never followed.
"""

from __future__ import annotations

import asyncio
import ssl
import time

import httptools

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes.dial import authority, dialled, target
from balance.probes.result import Result, is_explicit, why_failed
from balance.version import VERSION

LIMIT_BYTES = 64 * 1024
READ_BYTES = 16 * 1024


class Reply:
    """What the parser has seen so far of one reply. Interim replies (1xx) are passed over."""

    def __init__(self) -> None:
        self.status = 0  # of the final reply, once its head is complete
        self.body = bytearray()
        self.is_complete = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take in what arrived. Raises httptools.HttpParserError when it is not HTTP."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.status = self._parser.get_status_code()  # 101: an answer like any other, since we asked for no upgrade

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self.status:
            self.status = status

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.status:
            self.is_complete = True


def request(check: HealthCheck, address: Address) -> bytes:
    """The whole request. A field that the user gave replaces ours of the same name."""
    fields = {"host": ("Host", authority(check, address)), "user-agent": ("User-Agent", f"balance-health/{VERSION}")}
    fields |= {"accept": ("Accept", "*/*")}
    fields |= {name.lower(): (name, value) for name, value in check.headers}
    fields |= {"connection": ("Connection", "close")}
    lines = [f"{check.method} {check.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.values())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def expected(check: HealthCheck) -> str:
    """The statuses that count as good, as a user would say them: `200`, `200-299 or 401`."""
    return " or ".join(str(low) if low == high else f"{low}-{high}" for low, high in check.expected_status)


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Good when the status is one of those expected and the body holds what it should, within the timeout."""
    return await ask(check, target(check, backend.address))


async def ask(check: HealthCheck, where: Address, tls: ssl.SSLContext | None = None, server_name: str = "") -> Result:
    """The question, put to `where`."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(check.timeout_s), dialled(where, tls=tls, server_name=server_name) as (reader, writer):
            writer.write(request(check, where))
            is_ok, reason = await _judge(check, reader)
        said_no = not is_ok  # whatever was wrong with it, it was an answer
    except OSError as error:
        is_ok, reason, said_no = False, why_failed(error, where, check.timeout_s), is_explicit(error)
    except httptools.HttpParserError as error:
        is_ok, reason, said_no = False, f"the answer is not HTTP: {error}", True
    return Result(is_ok, reason, time.monotonic() - started, said_no)


async def _judge(check: HealthCheck, reader: asyncio.StreamReader) -> tuple[bool, str]:
    reply = Reply()
    wanted = check.expected_body.encode()
    received = 0
    while not reply.is_complete:
        data = await reader.read(min(READ_BYTES, LIMIT_BYTES - received))
        if data:
            received += len(data)
            reply.feed(data)
        if reply.status:
            if not any(low <= reply.status <= high for low, high in check.expected_status):
                return False, f"status {reply.status}, expected {expected(check)}"
            if wanted in reply.body:
                return True, f"status {reply.status}"
            if check.method == "HEAD":
                break
        if not data:
            break
        if received >= LIMIT_BYTES:
            missing = f"{check.expected_body!r} is" if reply.status else "the end of the header is"
            return False, f"{missing} not within the first {LIMIT_BYTES // 1024} KB of the answer"
    if not reply.status:
        return False, "closed without an answer" if not received else "closed before the answer was complete"
    return False, f"status {reply.status}, but the body does not contain {check.expected_body!r}"
