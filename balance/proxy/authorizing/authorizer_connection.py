"""A connection to a backend of an authorizer's pool: one question at a time, and its answer as strictly read as any reply.

Of a 2xx the head is the answer; its body is read, within bounds, to keep the connection. Of any other the body belongs to the
answer, which is none when it is cut, malformed or too long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from httptools import HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.head import Response
from balance.http1.response import MAX_HEAD, ResponseReader, refuse
from balance.runtime.backend import Backend
from balance.stages.security.authorization import Answer
from balance.tls.backend_context import UpstreamTls

if TYPE_CHECKING:
    from balance.proxy.authorizing.authorizer import Asking, Authorizer

MAX_BODY: Final = 64 * 1024  # bytes
MAX_INTERIMS: Final = 20  # 1xx replies to one question
DRAIN_S: Final = 2.0  # for the rest of a 2xx


class AuthorizerConnection(asyncio.Protocol):
    """Made by a dial. `asking` is the question under way; without one, whatever comes closes it."""

    __slots__ = ("_body", "_buffer", "_interims", "_is_counted", "_owner", "_parts", "_reader", "_response", "_size",
                 "asking", "backend", "is_lost", "is_usable", "parked_at", "tls", "transport")  # fmt: skip

    def __init__(self, owner: Authorizer, backend: Backend, tls: UpstreamTls | None) -> None:
        self.transport: asyncio.Transport
        self._owner = owner
        self.backend = backend
        self.tls = tls  # its backend's when it was dialled
        self._is_counted = False
        self.is_lost = False
        self.is_usable = False  # it may get another question, once this one is answered
        self.parked_at = 0.0
        self.asking: Asking | None = None
        self._reader: ResponseReader
        self._buffer = b""  # of an incomplete head
        self._response: Response | None = None
        self._body: Body | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._interims = 0

    def opened(self) -> None:
        """The dial has succeeded: count the connection, as Upstream does."""
        self._is_counted = True

    @property
    def has_begun(self) -> bool:
        """A byte of the answer has come."""
        return bool(self._buffer) or self._response is not None or self._interims > 0

    def send(self, asking: Asking, data: bytes, reader: ResponseReader) -> None:
        """Send a question; asking.answered() or asking.broken() follows, unless close() is called."""
        self.asking = asking
        self._reader = reader
        self._buffer = b""
        self._response = self._body = None
        self._interims = 0
        self.transport.write(data)

    def close(self) -> None:
        """Close now; nobody is told."""
        self.asking = None
        self._body = self._response = None
        self.is_usable = False
        self.transport.abort()

    # --- what the loop calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        if self.asking is None and self._body is None:
            self.close()  # bytes that nobody asked for are never the answer to the next question
            return
        try:
            if self._body is None or self._response is None:
                self._head(data)
            else:
                self._more(self._response, self._body, data)
        except ProtocolError as error:
            self._break(f"is not understood: {error.detail}")

    def eof_received(self) -> bool:
        self._ended(is_cut=False)
        return False  # closes the transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._is_counted:
            self._is_counted = False
            self._owner.worker.descriptors.upstreams -= 1
        self._ended(is_cut=True)  # with TLS no end was told before it: the close_notify is missing

    # --- the answer -----------------------------------------------------------------------------------

    def _head(self, data: bytes) -> None:
        seen = len(self._buffer)
        data = self._buffer + data
        while True:
            end = self._reader.end(data)
            if end < 4 or end > MAX_HEAD:
                self._reader.refuse_partial(data, seen)
                self._buffer = data
                return
            response = self._reader.read(data[:end])
            data = data[end:]
            if response.status >= 200:
                break
            self._interims += 1
            if response.status == 101 or self._interims > MAX_INTERIMS:
                raise refuse(f"it has a reply of status {response.status}")
            seen = 0
        self._buffer = b""
        self._response = response
        self._body = body = Body(response.framing, response.length, HttpResponseParser, decode=True)
        self._parts = []
        self._size = 0
        if not response.keep_alive or body.ends_at_close:
            self.is_usable = False
        self._more(response, body, data)

    def _more(self, response: Response, body: Body, data: bytes) -> None:
        """More of the body. Of a 2xx nothing is waited for but that it is not malformed so far."""
        if data:
            data = body.feed(data)
            self._size += len(data)
        is_good, is_too_long = 200 <= response.status < 300, self._size > MAX_BODY
        if is_too_long and not is_good:
            self._break(f"has more than {MAX_BODY} bytes")
        elif is_too_long or body.is_done:
            if data and not is_good:
                self._parts.append(data)
            self._answer(response, is_kept=not is_too_long and not body.rest)
        elif not is_good:
            if data:
                self._parts.append(data)
        elif self.asking is not None:
            if not self.is_usable:
                self._answer(response, is_kept=False)
            else:
                asking, self.asking = self.asking, None
                self._owner.worker.loop.call_later(DRAIN_S, self._drained_too_long, body)
                asking.answered(Answer(response.status, _fields(response)), response.idle_timeout_s)

    def _answer(self, response: Response, *, is_kept: bool) -> None:
        """Nothing more is read of it. The connection is free before the answer is told: what follows may need one."""
        asking, self.asking = self.asking, None
        self._body = self._response = None
        answer = Answer(response.status, _fields(response), b"".join(self._parts))
        self._parts = []
        if is_kept and self.is_usable:
            self._owner.park(self)
        else:
            self.close()
        if asking is not None:
            asking.answered(answer, response.idle_timeout_s)

    def _drained_too_long(self, body: Body) -> None:
        if self._body is body:
            self.close()

    def _ended(self, *, is_cut: bool) -> None:
        self.is_usable = False
        response, body = self._response, self._body
        if not is_cut and self.asking is not None and response is not None and body is not None and body.ends_at_close:
            self._answer(response, is_kept=False)
        else:
            self._break("breaks off")

    def _break(self, detail: str) -> None:
        asking, has_begun = self.asking, self.has_begun
        self.close()
        if asking is not None:
            asking.broken(f"the authorizer's answer {detail}", has_begun=has_begun)


def _fields(response: Response) -> bytes:
    """The field lines, without the status line."""
    return response.forward.partition(b"\r\n")[2]
