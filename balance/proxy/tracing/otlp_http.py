"""One export over OTLP/HTTP: a POST of binary protobuf, on a connection that is kept while the receiver keeps it."""

from __future__ import annotations

from typing import Final

from balance.errors import ProtocolError
from balance.http1.fields import field_value
from balance.http1.reply_feed import ReplyFeed
from balance.http1.response import MAX_HEAD
from balance.model import Why
from balance.proxy.tracing.receiver import Answer, ReceiverConnection
from balance.tracing.otlp import rejected

MAX_BODY: Final = 64 * 1024  # bytes of an answer that are read

# https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes; the others say that it will never be taken
RETRYABLE: Final = frozenset((429, 502, 503, 504))


class HttpReceiver(ReceiverConnection):
    """A receiver of OTLP/HTTP."""

    def head(self, size: int) -> bytes:
        """The head of a request with a body of so many bytes."""
        endpoint = self.endpoint
        lines = [
            f"POST {endpoint.path} HTTP/1.1",
            f"Host: {endpoint.authority}",
            f"User-Agent: {self.agent}",
            "Content-Type: application/x-protobuf",
            f"Content-Length: {size}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace")

    async def send(self, body: bytes) -> Answer:
        """Send a request and read its answer. OSError or ProtocolError where there is none."""
        is_reused = self.is_open
        try:
            return await self._exchange(body)
        except (OSError, EOFError):
            if not is_reused:
                raise
        self.close()  # the connection had been idle: the receiver has closed it, as it may
        return await self._exchange(body)

    async def _exchange(self, body: bytes) -> Answer:
        reader, writer = await self.connection()
        writer.write(self.head(len(body)) + body)
        await writer.drain()
        feed = ReplyFeed("POST", is_tolerant=True)
        content = bytearray()
        while not feed.is_complete and len(content) < MAX_BODY:
            data = await reader.read(MAX_HEAD)
            if data:
                content += feed.feed(data)
                continue
            if feed.response is None:
                raise EOFError
            break
        response = feed.response
        if response is None or response.status == 101:
            raise ProtocolError(502, Why.BAD_RESPONSE, "it switches protocols unasked")
        if not (feed.is_complete and response.keep_alive and not feed.rest and not feed.ends_at_close):
            self.close()
        wait = field_value(response.forward, b"retry-after").strip()
        wait_s = float(wait) if wait.isdecimal() and len(wait) < 6 else 0.0
        if 200 <= response.status < 300:
            return Answer(True, False, *rejected(bytes(content)))
        return Answer(False, response.status in RETRYABLE, 0, f"it answers {response.status}{_hint(response.status)}", wait_s)


def _hint(status: int) -> str:
    if status == 404:
        return ": nothing takes traces at that path"
    return ": tracing.headers do not let us in" if status in (401, 403) else ""
