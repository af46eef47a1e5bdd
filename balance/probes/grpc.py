"""gRPC health check (grpc.health.v1.Health/Check) over HTTP/2: by prior knowledge (RFC 9113 section 3.3), or over TLS by ALPN
where the backend has TLS.

One stream per connection. The two small messages are encoded here; HTTP/2 is the h2 library's, which is imported by the first
check: `pip install 'balance[http2]'`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from balance.config.model import BackendConfig, HealthCheck
from balance.probes.check_tls import check_tls
from balance.probes.dial import authority, connection, is_elsewhere, proxy_header, target
from balance.probes.result import Result, failure_reason, is_explicit, unusable
from balance.tls.pem_loading import TlsError
from balance.version import VERSION

if TYPE_CHECKING:
    from h2.connection import H2Connection

LIMIT_BYTES = 64 * 1024
READ_BYTES = 16 * 1024
STREAM = 1

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


class Call:
    """One gRPC call, from its first frame to its trailers."""

    def __init__(self, check: HealthCheck, host: str, scheme: str = "http") -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self.is_over = False
        self.broken = ""  # why there will be no response
        self._fields: dict[str, str] = {}
        self._data = bytearray()
        self._h2: H2Connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        head = {
            ":method": "POST",
            ":scheme": scheme,
            ":authority": host,
            ":path": "/grpc.health.v1.Health/Check",
            "te": "trailers",
            "content-type": "application/grpc",
            "grpc-timeout": f"{max(1, int(check.timeout_s * 1000))}m",
            "user-agent": f"balance-health/{VERSION}",
        }
        self._h2.send_headers(STREAM, list(head.items()))
        self._h2.send_data(STREAM, encode_request(check.service), end_stream=True)

    def to_send(self) -> bytes:
        """The bytes to write now."""
        return self._h2.data_to_send()

    def feed(self, data: bytes) -> None:
        """Process received bytes."""
        from h2 import events
        from h2.exceptions import ProtocolError

        if data.startswith(b"HTTP/1"):  # h2 would take it for the beginning of a long frame
            self._give_up("the answer is not HTTP/2")
            return
        try:
            arrived: Iterable[Any] = self._h2.receive_data(data)
        except (ProtocolError, UnicodeDecodeError):
            self._give_up("the answer is not HTTP/2")
            return
        for event in arrived:
            match event:
                case events.ResponseReceived() | events.TrailersReceived():
                    self._fields |= {str(name): str(value) for name, value in event.headers}
                case events.DataReceived():
                    self._data += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case events.StreamEnded():
                    self.is_over = True
                case events.StreamReset() | events.ConnectionTerminated() if not self.is_over:
                    self._give_up("the call was broken off")

    def _give_up(self, why: str) -> None:
        self.is_over = True
        self.broken = why

    def result(self) -> tuple[bool, str]:
        """Whether the service is SERVING, and the reason."""
        if self.broken:
            return False, self.broken
        status, code = self._fields.get(":status", ""), self._fields.get("grpc-status", "")
        if status != "200":
            return False, f"status {status}, expected 200"
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
