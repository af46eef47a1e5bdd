"""What a client is told without an exchange: a refusal, the answer to an OPTIONS that ends here, and the page of any error.

Knows nothing of where the connection is, nor how it ends.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from email.utils import formatdate
from time import monotonic

from balance.errors import ProtocolError
from balance.http1.error_pages import OPTIONS_REPLY, error_reply
from balance.http1.head import Request
from balance.model import Why
from balance.proxy.access_log import unserved
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.timer_wheel import Timed
from balance.runtime import counters
from balance.runtime.backend import Backend


class Refusals(Timed):
    """The part of a client's connection that answers by itself. Timed because only one base of a class may have slots."""

    __slots__ = ("_buffer", "is_trusted", "peer", "settings", "transport")  # set by HttpClient.__init__
    settings: ListenerSettings
    transport: asyncio.Transport
    peer: str
    is_trusted: bool  # it is a proxy that is believed
    _buffer: bytes  # what waits for its turn

    @abstractmethod
    def exchange_ended(self, now: float, *, keep_alive: bool) -> None:
        """The answer is complete: on to the next request, or to the end."""

    @abstractmethod
    def _linger(self) -> None:
        """The answer was the last: end our direction, and let it be read."""

    def _answer_options(self, request: Request, head: bytes, rest: bytes) -> None:
        """An OPTIONS with Max-Forwards: 0 is ours to answer (RFC 9110 section 7.6.2)."""
        client = self.peer
        if self.is_trusted:
            fields = request.fields
            client = self.settings.views.view(fields.forwarding, client, fields.host or b"").address
        settings = self.settings
        request_id = request.fields.request_id or (settings.worker.next_request_id() if settings.request_id else b"")
        reply = OPTIONS_REPLY + settings.told(request_id, None) + b"\r\n"
        self._count_own(204, Why.OK, head, request_id, len(reply), client, "")
        self.transport.write(reply)
        self._buffer = rest
        self.exchange_ended(monotonic(), keep_alive=request.keep_alive and not request.fields.framing)

    def _refuse(self, error: ProtocolError, head: bytes) -> None:
        """Answer what never became a request."""
        settings = self.settings
        request_id = settings.worker.next_request_id() if settings.request_id else b""
        page = self._error_page(error.status, error.why, error.detail, request_id, head, None, keep_alive=False)
        self._count_own(error.status, error.why, head, request_id, len(page), self.peer, error.detail)
        self.transport.write(page)
        self._linger()

    def _error_page(
        self,
        status: int,
        why: Why,
        detail: str,
        request_id: bytes,
        head: bytes,
        backend: Backend | None,
        *,
        keep_alive: bool,
    ) -> bytes:
        return error_reply(
            status,
            why,
            detail,
            request_id.decode("ascii"),
            head,
            keep_alive=keep_alive,
            pages=self.settings.pages,
            date=formatdate(usegmt=True),
            told=self.settings.told(request_id, backend),
        )

    def _count_own(
        self, status: int, why: Why, head: bytes, request_id: bytes, bytes_out: int, client: str, detail: str
    ) -> None:
        """Account for an answer that no exchange gave."""
        worker = self.settings.worker
        row = worker.row
        row.count_request(counters.series_key(0, 0, status))
        row.observe_size(counters.REQUEST_SIZE, len(head))
        row.observe_size(counters.RESPONSE_SIZE, bytes_out)
        row.cells[counters.WHY + why] += 1
        if worker.access is not None:
            worker.access.record(unserved(client, head, status, why, bytes_out, self.settings.pool.name, request_id, detail))
