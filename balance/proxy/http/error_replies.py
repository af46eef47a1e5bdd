"""Replies that Balance makes itself: refusals, the reply to an OPTIONS with Max-Forwards: 0, and error pages.

Makes the bytes, and counts the replies that have no exchange. The caller sends them and decides whether the connection closes.
"""

from __future__ import annotations

from email.utils import formatdate

from balance.errors import ProtocolError
from balance.http1.error_pages import OPTIONS_REPLY, error_reply
from balance.http1.head import Request
from balance.model import Why
from balance.proxy.access_records import unserved
from balance.proxy.listener_access import BlockedClient
from balance.proxy.listener_settings import ListenerSettings
from balance.runtime import counters
from balance.runtime.backend import Backend


def options_reply(settings: ListenerSettings, request: Request, head: bytes, peer: str, *, is_trusted: bool) -> bytes:
    """The reply to an OPTIONS with Max-Forwards: 0 (RFC 9110 section 7.6.2). `is_trusted`: `peer` is a trusted proxy.

    ProtocolError when its client is blocked.
    """
    fields, client = request.fields, peer
    if is_trusted:
        view = settings.views.client(fields.forwarding, peer, fields.host or b"")
        if isinstance(view, BlockedClient):
            raise ProtocolError(403, Why.BLOCKED, view.problem)
        client = view.address
    request_id = fields.request_id or (settings.worker.next_request_id() if settings.request_id else b"")
    reply = OPTIONS_REPLY + settings.own_lines(request_id, None) + b"\r\n"
    _count(settings, 204, Why.OK, head, request_id, len(reply), client, "")
    return reply


def refusal(settings: ListenerSettings, error: ProtocolError, head: bytes, peer: str, waited_s: float) -> bytes:
    """The error reply to bytes that are not a valid request, and were waited for that long."""
    request_id = settings.worker.next_request_id() if settings.request_id else b""
    page = error_page(settings, error.status, error.why, error.detail, request_id, head, None, keep_alive=False)
    _count(settings, error.status, error.why, head, request_id, len(page), peer, error.detail, int(waited_s * 1e6))
    return page


def error_page(
    settings: ListenerSettings,
    status: int,
    why: Why,
    detail: str,
    request_id: bytes,
    head: bytes,
    backend: Backend | None,
    *,
    keep_alive: bool,
    lines: bytes = b"",
) -> bytes:
    """An error reply to the request with `head`; `backend`, if any, may be named in X-Backend. `lines` are more fields."""
    return error_reply(
        status,
        why,
        detail,
        request_id.decode("ascii"),
        head,
        keep_alive=keep_alive,
        pages=settings.pages,
        date=formatdate(usegmt=True),
        extra_lines=settings.own_lines(request_id, backend) + lines,
    )


def _count(
    settings: ListenerSettings,
    status: int,
    why: Why,
    head: bytes,
    request_id: bytes,
    bytes_out: int,
    client: str,
    detail: str,
    total_us: int = 0,
) -> None:
    """Count and log a reply that has no exchange."""
    worker = settings.worker
    row = worker.row
    row.count_request(counters.series_key(0, 0, status))
    row.observe_size(counters.REQUEST_SIZE, len(head))
    row.observe_size(counters.RESPONSE_SIZE, bytes_out)
    row.cells[counters.WHY + why] += 1
    if worker.access is not None:
        pool = settings.pool.name
        worker.access.record(unserved(client, head, status, why, bytes_out, pool, request_id, detail, total_us))
