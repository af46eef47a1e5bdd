"""The question "does this path answer as expected?", asked in HTTP/1.1 (RFC 9112) on a connection of its own.

The reply is read by the same rules as those to requests, so that no backend is well of which no reply would be passed on.
Reads no more than LIMIT_BYTES, whatever the backend sends; redirects are answers like any other, never followed.
"""

from __future__ import annotations

import asyncio
import ssl
import time

from httptools import HttpResponseParser

from balance.config.model import BackendConfig, HealthCheck
from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.framing import NO_BODY
from balance.http1.head import Response
from balance.http1.response import MAX_HEAD, ResponseReader, refuse
from balance.model import Address
from balance.probes.dial import authority, dialled, target
from balance.probes.result import Result, is_explicit, why_failed
from balance.version import VERSION

LIMIT_BYTES = 64 * 1024
MAX_INTERIMS = 100  # as in the data path
READ_BYTES = 16 * 1024


class Reply:
    """What has been read so far of one reply, by the rules of the data path: where that answers 502, it is refused. Interim
    replies (1xx) are passed over.
    """

    def __init__(self, method: str, *, is_tolerant: bool = False) -> None:
        self.status = 0  # of the final reply, once its head is complete
        self.body = bytearray()
        self.is_complete = False
        self._is_head = method == "HEAD"
        self._reader = ResponseReader(is_tolerant=is_tolerant)
        self._buffer = b""
        self._download: Body | None = None
        self._interims = 0

    def feed(self, data: bytes) -> None:
        """Take in what arrived. ProtocolError when the data path would not pass it on."""
        while data and self._download is None and not self.is_complete:
            seen = len(self._buffer)
            data = self._buffer + data
            end = self._reader.end(data)
            if end < 4 or end > MAX_HEAD:
                self._reader.refuse_partial(data, seen)
                self._buffer = data
                return
            self._buffer = b""
            self._take_head(self._reader.read(data[:end]))
            data = data[end:]
        if data and self._download is not None:
            self.body += self._download.feed(data)
            self.is_complete = self._download.is_done

    def end(self) -> None:
        """The backend has closed."""
        self.is_complete |= self._download is not None and self._download.ends_at_close

    def _take_head(self, response: Response) -> None:
        if response.status < 200 and response.status != 101:
            self._interims += 1
            if self._interims > MAX_INTERIMS:
                raise refuse("interim replies without end")
            return
        self.status = response.status
        framing = NO_BODY if self._is_head or response.status == 101 else response.framing
        self._download = Body(framing, response.length, HttpResponseParser, decode=True, is_tolerant=self._reader.is_tolerant)
        self.is_complete = self._download.is_done


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
    reply = Reply(check.method, is_tolerant=check.strictness == "tolerant")
    try:
        async with asyncio.timeout(check.timeout_s), dialled(where, tls=tls, server_name=server_name) as (reader, writer):
            writer.write(request(check, where))
            is_ok, reason = await _judge(check, reply, reader)
        said_no = not is_ok  # whatever was wrong with it, it was an answer
    except ProtocolError as error:
        is_ok, reason, said_no = False, f"the answer is refused, as requests' would be: {error.detail}", True
    except OSError as error:
        if isinstance(error, TimeoutError) and _is_good_so_far(check, reply):
            is_ok, reason, said_no = True, f"status {reply.status}", False  # a body that goes on and on
        else:
            is_ok, reason, said_no = False, why_failed(error, where, check.timeout_s), is_explicit(error)
    return Result(is_ok, reason, time.monotonic() - started, said_no)


def _is_good_so_far(check: HealthCheck, reply: Reply) -> bool:
    return _is_expected(check, reply.status) and check.expected_body.encode() in reply.body


def _is_expected(check: HealthCheck, status: int) -> bool:
    return any(low <= status <= high for low, high in check.expected_status)


async def _judge(check: HealthCheck, reply: Reply, reader: asyncio.StreamReader) -> tuple[bool, str]:
    received = 0
    while not reply.is_complete:
        data = await reader.read(min(READ_BYTES, LIMIT_BYTES - received))
        if data:
            received += len(data)
            reply.feed(data)
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
