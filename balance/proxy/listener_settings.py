"""The settings of one HTTP listener as its connections use them, with its request reader and error pages.

A reload makes new ones. A connection changes to them at its next request; the request under way ends with those that it began
with.
"""

from __future__ import annotations

from balance.http1.forwarding.forwarded_headers import ForwardedClients
from balance.http1.forwarding.realip import TrustedProxies
from balance.http1.request import RequestReader
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.worker_context import WorkerContext
from balance.runtime.backend import Backend
from balance.runtime.max_connections import UNLIMITED
from balance.runtime.snapshot import Listener


class ListenerSettings:
    """Shared by all connections of a listener in one worker."""

    __slots__ = (
        "__weakref__",
        "connect_s",
        "cookie",
        "forwarded",
        "is_closing",
        "keepalive_s",
        "listener",
        "max_idle",
        "max_requests",
        "pages",
        "pool",
        "port",
        "read_s",
        "reader",
        "replies",
        "reply_s",
        "request_id",
        "request_s",
        "retrying",
        "scheme",
        "sends_backend",
        "sends_only_id",
        "sends_request_id",
        "successor",
        "timeouts",
        "trusted",
        "via",
        "views",
        "worker",
    )  # fmt: skip

    def __init__(self, worker: WorkerContext, listener: Listener, port: int) -> None:
        """`port` is the listening port, for X-Forwarded-Port; 0 for a Unix socket."""
        http = listener.http
        self.worker = worker
        self.listener = listener
        self.successor: ListenerSettings | None = None  # the newest, after a reload
        self.is_closing = False  # closed, draining or crowded: every reply has `Connection: close`
        self.pool = listener.pool
        self.cookie = listener.cookie
        self.port = port
        self.scheme = "http"
        self.timeouts = listener.timeouts
        self.retrying = listener.retrying
        self.read_s = listener.timeouts.read_s or NEVER  # the three timeouts that every request sets
        self.keepalive_s = listener.timeouts.keepalive_s or NEVER
        self.request_s = listener.timeouts.request_s or NEVER
        per_try_s = (listener.retrying.per_try_s if listener.retrying is not None else 0.0) or NEVER
        connect_s = min(listener.timeouts.connect_s or NEVER, per_try_s)
        self.reply_s = min(self.read_s, per_try_s)  # from the request's last byte to the reply's head, seconds
        self.connect_s = 0.0 if connect_s == NEVER else connect_s  # 0 is none, as in dial()
        self.reader = RequestReader(http)
        self.replies = worker.tolerant_reader if http.strictness == "tolerant" else worker.response_reader
        self.forwarded = http.forwarded
        self.via = http.via
        self.request_id = http.request_id
        self.sends_request_id = http.reply_headers.request_id
        self.sends_backend = http.reply_headers.backend
        self.sends_only_id = self.sends_request_id and not self.sends_backend  # the usual case
        trusted = TrustedProxies(listener.trusted_proxies)
        self.trusted = trusted if trusted else None
        self.views = ForwardedClients(listener.client_address, http.forwarded, trusted, port, self.scheme, via=http.via)
        self.pages = dict(http.error_pages)
        self.max_idle = http.keepalive.max_idle_per_backend
        self.max_requests = http.keepalive.max_requests or UNLIMITED

    def own_lines(self, request_id: bytes, backend: Backend | None) -> bytes:
        """The field lines that Balance adds to a reply: X-Request-Id and X-Backend, where configured."""
        lines = b"X-Request-Id: " + request_id + b"\r\n" if self.sends_request_id and request_id else b""
        if self.sends_backend and backend is not None:
            lines += b"X-Backend: " + backend.name.encode("ascii", "backslashreplace") + b"\r\n"
        return lines
