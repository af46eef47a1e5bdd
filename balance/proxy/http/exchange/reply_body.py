"""The body of a reply that did not come whole with its head: on its way to the client, which may hold it back."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from httptools import HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.framing import BY_CHUNKS, BY_LENGTH, Framing
from balance.http1.head import Response
from balance.proxy.buffering.upload import Upload
from balance.proxy.http.exchange.deadlines import await_next
from balance.proxy.http.exchange.ending import end_well
from balance.proxy.http.exchange.exchange_state import REPLYING
from balance.proxy.http.routed.encoded_reply import EncodedReply
from balance.proxy.http.upstream import Upstream

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange


def begin_body(
    exchange: Exchange, response: Response, framing: Framing, body: bytes, encoded: EncodedReply | None, now: float
) -> None:
    """The final reply has a body that did not come whole with its head, or has to be encoded."""
    if exchange.lease is not None and exchange.grpc is None:
        exchange.lease.answered(now, response.status)  # latency ends here: a long body says nothing about the backend
    if exchange.upload is not None:
        _drop_kept(exchange, exchange.upload)
    exchange.response = response
    content = exchange.download = _body_of(exchange, response, framing, decode=encoded is not None)
    if exchange.grpc is not None:
        exchange.grpc.content = content
    try:
        body = content.feed(body) if encoded is None else encoded.begin(content, body)
    except ProtocolError as error:  # nothing was sent to the client yet, so it gets an error reply
        exchange.not_understood(error)
        return
    if exchange.grpc is not None and body:
        exchange.grpc.spoke(exchange.lease, now)
    if encoded is not None:
        framing = BY_CHUNKS
        if content.is_done:
            framing = BY_LENGTH
            response = response.changed(b"%bContent-Length: %d\r\n" % (response.forward, len(body)))
    exchange.state = REPLYING
    exchange.bytes_out = exchange.client.writer.begin(exchange, response, framing, body, content)
    _more_or_end(exchange, content, now)


def _drop_kept(exchange: Exchange, upload: Upload) -> None:
    """The reply has begun, so the body is not sent again."""
    upload.kept = None
    if exchange.upstream is not None and not exchange.upstream.is_full:
        upload.settle()


def _body_of(exchange: Exchange, response: Response, framing: Framing, *, decode: bool = False) -> Body:
    if framing is not BY_CHUNKS:
        return Body(framing, response.length, HttpResponseParser)
    settings, decode = exchange.settings, decode or exchange.request.minor != 1  # HTTP/1.0 and HTTP/2 have no chunked coding
    # `reject` applies to clients only: when a reply's trailers arrive, it has begun, so they are dropped.
    underscores = "pass" if settings.listener.http.underscore_headers == "pass" else "drop"
    is_own = exchange.upstream is not None and exchange.upstream.is_shared  # made of what came over HTTP/2
    is_tolerant = settings.replies.is_tolerant and not is_own
    return Body(
        BY_CHUNKS, 0, HttpResponseParser, decode=decode, underscores=underscores, is_tolerant=is_tolerant, is_own=is_own
    )


def more(exchange: Exchange, data: bytes) -> None:
    content, encoded = exchange.download, None if exchange.routing is None else exchange.routing.encoded
    if exchange.grpc is not None:
        encoded = exchange.grpc.encoded or encoded
        exchange.grpc.spoke(exchange.lease, monotonic())
    try:
        data = content.feed(data) if encoded is None else encoded.feed(data)
    except ProtocolError as error:
        exchange.not_understood(error)
        return
    writer = exchange.client.writer
    exchange.bytes_out += writer.more(data, content)
    if writer.buffer is not None and writer.buffer.is_full and exchange.upstream is not None:
        exchange.upstream.pause()
    _more_or_end(exchange, content, monotonic())


def _more_or_end(exchange: Exchange, content: Body, now: float) -> None:
    if content.is_done:
        end_well(exchange, exchange.response, not content.rest and not content.ends_at_close, now)
        if exchange.client.writer.buffer is not None:
            exchange.client.await_reading(now)
    elif exchange.upload is None and not exchange.client.is_write_paused and exchange.grpc is None:
        exchange.client.arm(now, exchange.settings.read_s)  # _await() inlined for the usual case
    else:
        await_next(exchange, now)


def encoded_of(exchange: Exchange) -> EncodedReply | None:
    """The reply's body where it is encoded."""
    if exchange.grpc is not None and exchange.grpc.encoded is not None:
        return exchange.grpc.encoded
    return None if exchange.routing is None else exchange.routing.encoded


def next_slice(exchange: Exchange) -> None:
    """Called in a later turn of the event loop: encode more of what was received."""
    if exchange.state is not REPLYING or exchange.is_held_back:  # pause_download() or resume_download() follows
        return
    try:
        more(exchange, b"")
    except Exception:  # called by the event loop, so no transport ends the connection
        exchange.crashed()
        raise


def encode_rest(exchange: Exchange, encoded: EncodedReply) -> bool:
    """Encode all that was received, as no more follows. False when this ended the exchange."""
    while exchange.state is REPLYING and encoded.is_holding:
        more(exchange, b"")
    return exchange.state is REPLYING


def pause_download(exchange: Exchange) -> None:
    """Called by the client connection when it cannot take more of the reply."""
    upstream, buffering = exchange.upstream, exchange.settings.buffering
    if upstream is not None:
        if buffering is None or not buffering.response_bytes or exchange.state is not REPLYING:
            upstream.pause()
        else:
            buffer = exchange.client.writer.hold(buffering, exchange.settings.worker.buffered)
            if buffer.is_full:
                upstream.pause()
            elif buffer.has_room:
                _take_more(exchange, upstream)
        await_next(exchange, monotonic())


def _take_more(exchange: Exchange, upstream: Upstream) -> None:
    """Read on, or first encode the rest of what was read."""
    encoded = encoded_of(exchange)
    if encoded is not None and encoded.is_holding:
        encoded.schedule()
    else:
        upstream.resume()


def resume_download(exchange: Exchange) -> None:
    """Called by the client connection when it can take more of the reply again."""
    if exchange.upstream is not None:
        _take_more(exchange, exchange.upstream)
        await_next(exchange, monotonic())
