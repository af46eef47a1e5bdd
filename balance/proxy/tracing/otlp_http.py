"""One export over OTLP/HTTP: a POST of binary protobuf, on a connection that is kept while the receiver keeps it."""

from __future__ import annotations

import asyncio
from typing import Final

from httptools import HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.fields import field_value
from balance.http1.response import MAX_HEAD, ResponseReader
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
        parser = ResponseReader(is_tolerant=True)
        data = b""
        while True:
            end = parser.end(data)
            if end < 4 or end > MAX_HEAD:
                parser.refuse_partial(data, 0)
                data += await self._more(reader)
                continue
            response = parser.read(data[:end])
            data = data[end:]
            if response.status >= 200:
                break
            if response.status == 101:
                raise ProtocolError(502, Why.BAD_RESPONSE, "it switches protocols unasked")
        content = Body(response.framing, response.length, HttpResponseParser, decode=True)
        parts = [content.feed(data)]
        while not content.is_done and sum(map(len, parts)) < MAX_BODY:
            data = await reader.read(MAX_HEAD)
            if not data:
                break
            parts.append(content.feed(data))
        if not (content.is_done and response.keep_alive and not content.rest and not content.ends_at_close):
            self.close()
        wait = field_value(response.forward, b"retry-after").strip()
        wait_s = float(wait) if wait.isdecimal() and len(wait) < 6 else 0.0
        if 200 <= response.status < 300:
            return Answer(True, False, *rejected(b"".join(parts)))
        return Answer(False, response.status in RETRYABLE, 0, f"it answers {response.status}{_hint(response.status)}", wait_s)

    async def _more(self, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(MAX_HEAD)
        if not data:
            raise EOFError
        return data


def _hint(status: int) -> str:
    if status == 404:
        return ": nothing takes traces at that path"
    return ": tracing.headers do not let us in" if status in (401, 403) else ""
