"""One HTTP listener as its connections see it: its settings, its reader of requests, its own pages."""

from __future__ import annotations

from balance.http1.request import RequestReader
from balance.proxy.service import Service
from balance.proxy.wheel import NEVER
from balance.runtime.snapshot import Listener


class Entry:
    """Shared by all clients of a listener in one worker."""

    __slots__ = ("cookie", "forwarded", "keepalive_s", "listener", "max_idle", "max_requests", "pages", "pool", "port",
                 "read_s", "reader", "request_id", "request_s", "scheme", "service", "timeouts", "trusted", "via")  # fmt: skip

    def __init__(self, service: Service, listener: Listener, port: int) -> None:
        """`port` is the one that clients connect to, for X-Forwarded-Port; 0 on a Unix socket."""
        http = listener.http
        self.service = service
        self.listener = listener
        self.pool = listener.pool
        self.cookie = listener.cookie
        self.port = port
        self.scheme = "http"
        self.timeouts = listener.timeouts
        self.read_s = listener.timeouts.read_s or NEVER  # the three that every request arms
        self.keepalive_s = listener.timeouts.keepalive_s or NEVER
        self.request_s = listener.timeouts.request_s or NEVER
        self.reader = RequestReader(http)
        self.forwarded = http.forwarded
        self.via = http.via
        self.request_id = http.request_id
        self.trusted = listener.trusted_proxies
        self.pages = dict(http.error_pages)
        self.max_idle = http.keepalive.max_idle_per_backend
        self.max_requests = http.keepalive.max_requests
