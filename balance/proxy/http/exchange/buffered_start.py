"""A request whose body is taken whole before a backend is chosen; the others go on at once."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from balance.proxy.buffering.buffered_upload import BufferedUpload, is_buffered
from balance.proxy.buffering.upload import Upload
from balance.proxy.http.exchange.backend_choice import choose
from balance.proxy.net.timer_wheel import NEVER

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange


def begin(exchange: Exchange, now: float) -> None:
    """The head is made and the pool is known: choose a backend, or first read the body where it is buffered."""
    upload, buffering, settings = exchange.upload, exchange.settings.buffering, exchange.settings
    if exchange.grpc is not None and exchange.grpc.may_last(settings):
        buffering = None
        if upload is not None:
            upload.rate = None  # of its listener, before the route was known
    if upload is not None and buffering is not None and is_buffered(exchange.request.fields, buffering):
        begun = upload
        upload = BufferedUpload(begun, exchange.request.fields, settings.listener.http, buffering, settings.worker.buffered)
        exchange.upload = upload
        if begun.is_held:
            exchange.client.resume_reading()
        if awaits_body(exchange, upload):
            return
    choose(exchange, now)


def awaits_body(exchange: Exchange, upload: Upload) -> bool:
    """Wait for more of a body that is read before a backend is chosen. False at its end: the head is that of the body."""
    if not upload.is_waiting:
        if exchange.routing is None or exchange.routing.per_try is None:  # a head that names its backend is made for each try
            exchange.head = upload.head(exchange.head)
        return False
    client = exchange.client
    if upload.awaits_continue:
        upload.awaits_continue = False
        client.writer.go_on()
    now, timeout_s = monotonic(), exchange.settings.timeouts.client_body_s or NEVER
    client.arm(now, timeout_s if upload.rate is None else upload.rate.bounded(timeout_s, now))
    return True
