"""gRPC health check (grpc.health.v1.Health/Check) over HTTP/2: by prior knowledge (RFC 9113 section 3.3), or over TLS by ALPN
where the backend has TLS.

One stream per connection. The two small messages are encoded here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from balance.config.model import BackendConfig, HealthCheck
from balance.http1.response import MAX_FIELDS, MAX_HEAD
from balance.http2.handler import SessionHandler
from balance.http2.head_encoder import encode_request as encode_head
from balance.http2.response_head import ResponseHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream
from balance.probes.check_tls import check_tls
from balance.probes.dial import authority, connection, is_elsewhere, proxy_header, target
from balance.probes.result import Result, failure_reason, is_explicit, unusable
from balance.tls.pem_loading import TlsError
from balance.version import VERSION

LIMIT_BYTES = 64 * 1024
READ_BYTES = 16 * 1024
_LIMITS: Final = SessionLimits(fields=MAX_FIELDS, head_bytes=MAX_HEAD)
_METHOD: Final = b"/grpc.health.v1.Health/Check"

# health.proto: enum ServingStatus
SERVING = 1
STATUSES = {0: "UNKNOWN", SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
# gRPC status codes with a text of ours; others are reported by number.
CODES = {4: "deadline exceeded", 5: "it knows no such service", 12: "it has no health service", 14: "unavailable"}


def encode_request(service: str) -> bytes:
    """HealthCheckRequest { string service = 1; } after gRPC's prefix: not compressed, length."""
    name = service.encode()
    size = bytes([len(name)]) if len(name) < 0x80 else bytes([len(name) & 0x7F | 0x80, len(name) >> 7])
    message = b"\x0a" + size + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def decode_response(data: bytes) -> int | None:
    """The `status` of HealthCheckResponse { ServingStatus status = 1; }; None when the data is something else."""
    size = int.from_bytes(data[1:5], "big")
    message = data[5 : 5 + size]
    if len(data) < 5 or data[0] or len(message) < size:
        return None
    if not message:
        return 0  # an absent field has its default
    return message[1] if len(message) == 2 and message[0] == 0x08 else None


class Call(SessionHandler):
    """One gRPC call, from its first frame to its trailers."""

    def __init__(self, check: HealthCheck, host: str, scheme: str = "http") -> None:
        self.is_over = False
        self.broken = ""  # why there will be no response
        self._status = 0
        self._code = ""  # grpc-status
        self._data = bytearray()
        now = time.monotonic()
        self._session = Session(self, _LIMITS, now, is_server=False)
        lines = (
            "te: trailers\r\ncontent-type: application/grpc\r\n"
            f"grpc-timeout: {max(1, int(check.timeout_s * 1000))}m\r\nuser-agent: balance-health/{VERSION}\r\n"
        )
        block = encode_head(b"POST", scheme.encode(), host.encode(), _METHOD, lines.encode())
        stream = self._session.open(block, now, ends=False)
        assert stream is not None  # the first one
        self._session.content(stream, encode_request(check.service), ends=True)

    def to_send(self) -> bytes:
        """The bytes to write now."""
        parts = self._session.out.parts
        data = b"".join(parts)
        parts.clear()
        return data

    def feed(self, data: bytes) -> None:
        """Process received bytes."""
        now = time.monotonic()
        while self._session.feed(data, now):
            data = b""

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        if not head.is_interim:
            self._status = head.status
            self._read_code(head.lines)
            self.is_over = ends

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self._session.taken(stream, len(content))
        self._data += content
        self.is_over = ends

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        self._read_code(lines)
        self.is_over = True

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        self._give_up(f"the answer is refused: {detail}" if is_ours else "the call was broken off")

    def on_unprocessed(self, stream: Stream) -> None:
        self._give_up("the server leaves and takes no calls")

    def on_fault(self, code: int, detail: str) -> None:
        self._give_up("the answer is not HTTP/2")

    def _read_code(self, lines: bytes) -> None:
        for line in lines.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"grpc-status":
                self._code = value.strip(b" \t").decode("latin-1")

    def _give_up(self, why: str) -> None:
        if not self.is_over:
            self.is_over = True
            self.broken = why

    def result(self) -> tuple[bool, str]:
        """Whether the service is SERVING, and the reason."""
        if self.broken:
            return False, self.broken
        code = self._code
        if self._status != 200:
            return False, f"status {self._status}, expected 200"
        if code != "0":
            number = int(code) if code.isascii() and code.isdigit() else -1
            return False, f"gRPC status {code or 'missing'}: {CODES.get(number, 'no health answer')}"
        serving = decode_response(bytes(self._data))
        if serving is None:
            return False, "the answer is not a HealthCheckResponse"
        return serving == SERVING, STATUSES.get(serving, str(serving))


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Passes when the service's status is SERVING within the timeout."""
    started = time.monotonic()
    where = target(check, backend.address)
    received = 0
    try:
        tls = check_tls(check, backend, where, is_elsewhere=is_elsewhere(check), alpn="h2")
        call = Call(check, authority(check, where), "http" if tls is None else "https")
        async with asyncio.timeout(check.timeout_s), connection(where, tls=tls, header=proxy_header(check)) as (reader, writer):
            while not call.is_over and received < LIMIT_BYTES:
                writer.write(call.to_send())
                data = await reader.read(READ_BYTES)
                if not data:
                    break
                received += len(data)
                call.feed(data)
    except TlsError as error:
        return Result(False, unusable(error), time.monotonic() - started)
    except OSError as error:
        reason = failure_reason(error, where, check.timeout_s)
        return Result(False, reason, time.monotonic() - started, is_explicit(error))
    if call.is_over:
        is_ok, reason = call.result()
    else:
        is_ok, reason = False, "closed without an answer" if received < LIMIT_BYTES else "more than 64 KB and no answer"
    return Result(is_ok, reason, time.monotonic() - started, not is_ok)
