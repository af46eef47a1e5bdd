"""The head of a request: refuses an incomplete head early, and makes the head that is sent to a backend.

The head is sent as HTTP/1 lines, the form in which the program passes heads around. It is made once for all tries, unless it
names the backend.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from balance.config.model import Limits
from balance.errors import ProtocolError
from balance.http1.fields import remove_named
from balance.http1.forwarding.forwarded_headers import ForwardedClient
from balance.http1.forwarding.realip import UNKNOWN
from balance.http1.head import RequestFields
from balance.http1.request import overlong_method
from balance.model import Why
from balance.proxy.listener_access import BlockedClient
from balance.proxy.listener_settings import ListenerSettings

if TYPE_CHECKING:
    from balance.proxy.http.ends.exchange_client import ExchangeClient
    from balance.proxy.http.exchange.exchange import Exchange

_START: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]")  # the first byte of a method, a token by RFC 9110 section 5.6.2


def refuse_partial(data: bytes, limits: Limits) -> None:
    """Check `data`, all that has arrived of an incomplete head. ProtocolError when it cannot become a valid one."""
    line_end = data.find(b"\r\n")
    if not _START.match(data):
        raise ProtocolError(400, Why.BAD_REQUEST, "this is not HTTP")
    if (error := overlong_method(data)) is not None:
        raise error
    if line_end < 0 and len(data) > limits.line_bytes:
        raise ProtocolError(414, Why.URI_TOO_LONG, f"a request line of more than {limits.line_bytes} bytes")
    if len(data) > limits.head_bytes:
        raise ProtocolError(431, Why.HEADER_TOO_LARGE, f"a head of more than {limits.head_bytes} bytes")
    if data.count(b"\n") != data.count(b"\r\n"):
        raise ProtocolError(400, Why.BAD_REQUEST, "a bare LF in the head")


def client_view(exchange: Exchange, client: ExchangeClient, settings: ListenerSettings, now: float) -> ForwardedClient | None:
    """The client as named by the trusted proxy at the other end of this connection; None where the peer itself is the client.
    Logs fields that cannot be parsed.

    ProtocolError when it is blocked, and for a request to another host than the one that the client's certificate was verified
    for.
    """
    fields = exchange.request.fields
    host = fields.host
    view = None
    if client.is_trusted:  # first: whoever logs an end of this request asks for it
        named = host if host is not None else client.own_host()
        view = exchange.view = settings.views.client(fields.forwarding, client.peer, named)
        if settings.via and exchange.request.minor == 2 and not isinstance(view, BlockedClient):
            view = exchange.view = view.over_http2()
    if client.verified is not None:
        client.verified.check(host)
    if view is not None and view.problem:
        if isinstance(view, BlockedClient):
            raise ProtocolError(403, Why.BLOCKED, view.problem)
        peer = client.peer if client.peer != UNKNOWN else "a Unix socket"
        settings.worker.unreadable.say(now, f"from a trusted proxy ({peer}): {view.problem}", exchange.ids())
    return view


def usual_head(line: bytes, fields: RequestFields, host: bytes, client: ExchangeClient, own_id: bytes) -> bytes:
    """request_head() of what most requests are: with a Host and without an id, of a client that is the peer itself, which is
    named after Host, too.

    All between the request line and the id is that of the request before, if the same lines have come from the same address:
    it is joined when that is seen for the second time, so that clients that take turns cost nothing.
    """
    before, after = client.before_host, client.after_host
    if fields.lines_after is after and fields.lines_before is before:
        if not fields.between:
            fields.between = b"".join((fields.forward, before, host, after, b"X-Request-Id: "))
        return b"".join((line, fields.between, own_id, b"\r\n\r\n"))
    fields.lines_before, fields.lines_after, fields.between = before, after, b""
    return b"".join((line, fields.forward, before, host, after, b"X-Request-Id: ", own_id, b"\r\n\r\n"))


def request_head(
    line: bytes,
    forward: bytes,
    host: bytes | None,
    client: ExchangeClient,
    view: ForwardedClient | None,
    own_id: bytes,
    without: frozenset[bytes] = frozenset(),
) -> bytes:
    """The head for the backend: the request `line`, the field lines to `forward`, and ours.

    `host` is the client's; `view` is for a trusted proxy only; `own_id` is the request id to add, if any. Of ours, those whose
    lower-case names are in `without` are left out.
    """
    if without:
        own = request_head(b"", b"", host or client.own_host(), client, view, own_id)
        return b"".join((line, forward, remove_named(own[:-2], without), b"\r\n"))
    if own_id and host is not None and view is None and client.after_host:  # the common case: what follows, in one join
        return b"".join((
            line, forward, client.before_host, host, client.after_host, b"X-Request-Id: ", own_id, b"\r\n\r\n",
        ))  # fmt: skip
    if host is None:  # only HTTP/1.0 may omit Host
        host = client.own_host()
        parts = [line, b"Host: ", host, b"\r\n", forward]
    else:
        parts = [line, forward]
    if view is not None:
        parts.append(view.lines if client.verified is None else client.verified.lines + view.lines)
    elif client.after_host:
        parts += (client.before_host, host, client.after_host)
    else:
        parts.append(client.before_host)
    if own_id:
        parts += (b"X-Request-Id: ", own_id, b"\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)
