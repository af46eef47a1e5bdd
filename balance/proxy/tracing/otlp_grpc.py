"""One export over OTLP/gRPC: a unary call on an HTTP/2 connection of its own, by the h2 library, imported where configured.

grpcio is for programs that do not fork: its threads and descriptors belong to the process that imported it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from balance.errors import ProtocolError
from balance.model import Why
from balance.proxy.tracing.receiver import Answer, ReceiverConnection
from balance.tracing.otlp import rejected

if TYPE_CHECKING:
    from h2.connection import H2Connection

STREAM: Final = 1
READ_BYTES: Final = 64 * 1024
MAX_ANSWER: Final = 64 * 1024  # bytes
TIMEOUT_S: Final = 10  # that the receiver is told of

# https://opentelemetry.io/docs/specs/otlp/#failures: cancelled, deadline exceeded, resource exhausted, aborted, out of range,
# unavailable, data loss
RETRYABLE: Final = frozenset((1, 4, 8, 10, 11, 14, 15))
_NAMES: Final = {3: "invalid argument", 7: "permission denied", 8: "resource exhausted", 12: "it has no service for traces",
                 14: "unavailable", 16: "unauthenticated"}  # fmt: skip


class GrpcReceiver(ReceiverConnection):
    """A receiver of OTLP/gRPC. A connection serves one call: exports are seconds apart."""

    async def send(self, body: bytes) -> Answer:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        reader, writer = await self.connection(("h2",))
        try:
            http2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
            http2.initiate_connection()
            http2.send_headers(STREAM, self._head())
            return await _call(http2, b"\x00" + len(body).to_bytes(4, "big") + body, reader, writer)
        finally:
            self.close()

    def _head(self) -> list[tuple[str, str]]:
        endpoint = self.endpoint
        return [
            (":method", "POST"),
            (":scheme", "https" if endpoint.is_secure else "http"),
            (":authority", endpoint.authority),
            (":path", endpoint.path),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{TIMEOUT_S}S"),
            ("user-agent", self.agent),
            *((name.lower(), value) for name, value in self.headers),
        ]


async def _call(http2: H2Connection, message: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    """Send the message as the windows allow, and read up to the trailers."""
    from h2 import events, exceptions

    fields: dict[str, str] = {}
    content = bytearray()
    sent, is_over = 0, False
    while not is_over:
        while sent < len(message) and (room := min(http2.local_flow_control_window(STREAM), http2.max_outbound_frame_size)) > 0:
            part = message[sent : sent + room]
            sent += len(part)
            http2.send_data(STREAM, part, end_stream=sent == len(message))
        writer.write(http2.data_to_send())
        await writer.drain()
        data = await reader.read(READ_BYTES)
        if not data:
            raise EOFError
        if data.startswith(b"HTTP/1"):
            raise _not_grpc()
        try:
            arrived: list[Any] = list(http2.receive_data(data))
        except (exceptions.ProtocolError, UnicodeDecodeError):
            raise _not_grpc() from None
        for event in arrived:
            match event:
                case events.ResponseReceived() | events.TrailersReceived():
                    fields |= {str(name): str(value) for name, value in event.headers}
                case events.DataReceived():
                    content += event.data[: MAX_ANSWER - len(content)]
                    http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case events.StreamEnded():
                    is_over = True
                case events.StreamReset() | events.ConnectionTerminated():
                    if not is_over and "grpc-status" not in fields:
                        raise EOFError
                    is_over = True
    return _answer(fields, bytes(content))


def _answer(fields: dict[str, str], content: bytes) -> Answer:
    status, code = fields.get(":status", ""), fields.get("grpc-status", "")
    if status != "200":
        return Answer(False, status in ("429", "502", "503", "504"), 0, f"it answers HTTP status {status[:3]}")
    if code == "0":
        return Answer(True, False, *rejected(content[5:]))
    number = int(code) if code.isascii() and code.isdigit() and len(code) < 4 else -1
    said = unquote(fields.get("grpc-message", ""))[:200]
    why = f"it answers gRPC status {code[:10] or 'missing'} ({_NAMES.get(number, said)})"
    return Answer(False, number in RETRYABLE, 0, why)


def _not_grpc() -> ProtocolError:
    return ProtocolError(502, Why.BAD_RESPONSE, "the answer is not HTTP/2")
