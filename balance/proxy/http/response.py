"""A reply on its way back: its head is read and written anew, its body passes as it comes; after a 101 all bytes pass.

Knows nothing of how the request finds its backend and goes out, of what breaks a reply off, nor of what an end gives back.
"""

from __future__ import annotations

from abc import abstractmethod
from time import monotonic

from httptools import HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.fields import without_named
from balance.http1.framing import BY_CHUNKS, BY_CLOSE, BY_LENGTH, NO_BODY
from balance.http1.head import Response
from balance.http1.response import MAX_HEAD
from balance.model import Outcome, Why
from balance.proxy.access_log import AccessRecord
from balance.proxy.http.connect import ENDED, REPLYING, SENT
from balance.proxy.http.resend import Repeats
from balance.runtime.lease import Lease

MAX_INTERIMS = 100  # 1xx replies at once before the final one: a backend that never comes to the point
INTERIMS_PER_S = 10  # and so many more in each second, so that one that says 102 through a long request never reaches a bound
_EMPTY_LINE, _CLOSE, _KEEP_ALIVE = b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"
_OURS_TO_SAY = frozenset((b"x-backend",))
JOIN_LIMIT = 16 * 1024  # below it, copying a body behind its head is cheaper than a second buffer for the kernel


class Replying(Repeats):
    """The part of an exchange that passes the reply on. response_received() begins; _end_well() or _fail() follows."""

    __slots__ = ("_download", "_head_at", "_keep_alive", "_reply_bytes", "_reply_is_exact", "_response", "request_id", "status")
    request_id: bytes
    status: int  # 0 before there is one
    _response: Response | None
    _download: Body | None  # the reply's body, if it did not come with its head
    _reply_bytes: int
    _reply_is_exact: bool  # the backend sent no byte too many
    _keep_alive: bool  # the client's connection may stay
    _head_at: float

    @abstractmethod
    def _await(self, now: float) -> None:
        """More is to come: arm the timeout of whoever is waited for now."""

    @abstractmethod
    def _end_well(self, now: float) -> None:
        """The reply is complete, and all of it is written."""

    @abstractmethod
    def _count(self, now: float, lease: Lease | None, outcome: Outcome) -> AccessRecord | None:
        """Into the counters; returns what the access log was told, if there is one."""

    def response_received(self, data: bytes) -> None:
        """Bytes from the backend."""
        if self._at is REPLYING:
            self._reply_body(data)
            return
        seen = len(self._buffer)
        if seen:
            data = self._buffer + data
            self._buffer = b""
        reader = self.settings.replies
        while True:
            end = reader.end(data) if reader.is_tolerant else data.find(b"\r\n\r\n") + 4
            if end < 4 or end > MAX_HEAD:
                self._head_incomplete(data, seen)
                return
            head = data if end == len(data) else data[:end]
            try:
                response = reader.read(head)
            except ProtocolError as error:
                self._not_understood(error)
                return
            data = data[end:]
            seen = 0
            if response.status >= 200:
                self._reply(response, data)
                return
            if response.status == 101:
                self._switch(response, data)
                return
            if not self._interim(response):
                return
            if not data:
                return

    def _head_incomplete(self, data: bytes, seen: int) -> None:
        try:
            self.settings.replies.refuse_partial(data, seen)
        except ProtocolError as error:
            self._not_understood(error)
        else:
            self._buffer = data

    def _not_understood(self, error: ProtocolError) -> None:
        """A reply that goes no further, and which rule it breaks."""
        self._fail(error.status, error.why, f"the backend's reply was not understood: {error.detail}", Outcome.FAILED)

    def _interim(self, response: Response) -> bool:
        """A 1xx is passed on, except to HTTP/1.0 (RFC 9110 section 15.2). False when it was one too many."""
        self._interims += 1
        if self._interims > MAX_INTERIMS + INTERIMS_PER_S * (monotonic() - self.started):
            self._fail(502, Why.BAD_RESPONSE, "the backend sends interim replies without end", Outcome.FAILED)
            return False
        if self.request.minor and not self.client.transport.is_closing():
            self.client.transport.write(response.forward + b"\r\n")
        self._await(monotonic())
        return True

    def _reply(self, response: Response, body: bytes) -> None:
        """The final reply's head, and what came with it."""
        if response.is_rare or self._tries is not None:
            if self._is_passed_over(response, body):
                return
            if response.ties and self._upstream is not None:
                self.client.tie(self._upstream)
        request, settings = self.request, self.settings
        framing = NO_BODY if request.method == b"HEAD" else response.framing
        self._at = REPLYING
        self._outgoing = b""
        self._response = response
        self._head_at = now = monotonic()
        self.status = response.status
        keep_alive = (
            self._keep_alive
            and framing is not BY_CLOSE
            and not settings.is_closing
            and (self.upload is None or self.upload.is_done)
        )
        head = response.forward
        if framing is BY_CHUNKS:
            if request.minor:
                head += b"Transfer-Encoding: chunked\r\n"
            else:
                keep_alive = False
        if not keep_alive:
            self._keep_alive = False
            end = _CLOSE
        elif request.minor:
            end = _EMPTY_LINE
        else:
            end = _KEEP_ALIVE
        request_id = self.request_id
        if settings.tells_only_id and request_id and not response.has_request_id:  # nearly always; in one go
            if framing is BY_LENGTH and (size := len(body)) == response.length and size <= JOIN_LIMIT:
                if not (transport := self.client.transport).is_closing():
                    reply = b"".join((head, b"X-Request-Id: ", request_id, end, body))
                    self._reply_bytes += len(reply)
                    transport.write(reply)
                self._end_well(now)
                return
            head = b"".join((head, b"X-Request-Id: ", request_id, end))
        else:
            head = self._told(head, response) + end[2:]

        if framing is BY_LENGTH and len(body) == response.length:
            self._write(head, body)
            self._end_well(now)
        elif framing is NO_BODY:
            self._reply_is_exact = not body
            self._write(head, b"")
            self._end_well(now)
        else:
            if self._lease is not None:
                self._lease.answered(now, response.status)  # the body may take long, which says nothing of the backend
            if framing is BY_CHUNKS:
                # `reject` is for clients; a reply has begun by the time that its trailers come.
                underscores = "pass" if self.settings.listener.http.underscore_headers == "pass" else "drop"
                is_tolerant = self.settings.replies.is_tolerant
                self._download = Body(
                    framing, 0, HttpResponseParser, decode=not request.minor, underscores=underscores, is_tolerant=is_tolerant
                )
            else:
                self._download = Body(framing, response.length, HttpResponseParser)
            self._reply_body(body, head)

    def _told(self, head: bytes, response: Response) -> bytes:
        """`head` with the lines that tell the client which way its reply has taken. An id that the backend gives stays the only
        one; what it says of X-Backend does not stand beside our word."""
        if self.settings.tells_backend:
            head = without_named(head, _OURS_TO_SAY)
        return head + self.settings.told(b"" if response.has_request_id else self.request_id, self.backend)

    def _reply_body(self, data: bytes, head: bytes = b"") -> None:
        download = self._download
        assert download is not None
        try:
            out = download.feed(data)
        except ProtocolError as error:
            if head:
                self._at = SENT  # nothing has gone out yet: the client can still be told
            self._not_understood(error)
            return
        self._write(head, out)
        if download.is_done:
            self._reply_is_exact = not download.rest
            self._end_well(monotonic())
        else:
            self._await(monotonic())

    def _write(self, head: bytes, body: bytes) -> None:
        """To the client, in one system call."""
        transport = self.client.transport
        if transport.is_closing():
            return
        self._reply_bytes += len(head) + len(body)
        if not head:
            if body:
                transport.write(body)
        elif len(body) <= JOIN_LIMIT:
            transport.write(head + body)
        else:
            transport.writelines((head, body))

    def _switch(self, response: Response, early: bytes) -> None:
        """101: from here on bytes pass unparsed, those that came with it first. What the client still owes of a body comes
        before what it says in the new protocol (RFC 9110 section 7.8), so it too passes as it comes: neither connection is
        ever asked for another request."""
        lease, upstream = self._lease, self._upstream
        offered = self.request.fields.upgrade.lower().split(b", ")
        if not response.upgrade or any(protocol not in offered for protocol in response.upgrade.lower().split(b", ")):
            self._fail(502, Why.BAD_RESPONSE, "the backend switches protocols unasked", Outcome.FAILED)
            return
        assert lease is not None and upstream is not None
        if self._tries is not None:
            self._tries.done()
        self.status = 101
        head = self._told(response.forward, response)
        self._write(head + b"Connection: Upgrade\r\nUpgrade: " + response.upgrade + b"\r\n\r\n", b"")
        self._at = ENDED
        self._lease = None  # the tunnel's now
        self._upstream = None
        upstream.exchange = None
        now = monotonic()
        lease.answered(now)
        story = self._count(now, lease, Outcome.ABORTED)  # how long a tunnel lasts says nothing about the backend
        self.client.become_tunnel(upstream, lease, early, story)
