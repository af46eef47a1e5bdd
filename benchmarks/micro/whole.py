"""A whole request, from the client's bytes to the reply's, over connections that take everything and lead nowhere.

What Python costs per request, without the kernel and without the event loop: on a busy machine the only figure of a request
that repeats.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

from balance.config.loading import load_text
from balance.proxy.client import HttpClient
from balance.proxy.entry import Entry
from balance.proxy.service import Service
from balance.proxy.upstream import Upstream
from balance.runtime import cells
from balance.runtime.snapshot import build
from balance.runtime.sticky import StickyPool

PLAIN = """\
mode: http
listen: "127.0.0.1:8080"
backends:
  - name: a
    address: "127.0.0.1:9001"
"""
EVERYTHING = """\
    max_connections: 1000
health_check:
  passive_checks:
    enabled: true
circuit_breaker:
  enabled: true
retry:
  enabled: true
  per_try_timeout: 2s
session_affinity:
  enabled: true
"""


class Nowhere:
    """A connection's transport that only counts."""

    def __init__(self) -> None:
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def writelines(self, parts: object) -> None:
        self.writes += 1

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 50000) if name == "peername" else None


def request(request_head: bytes, reply: bytes, *, everything: bool) -> Callable[[], object]:
    """One request and its reply, again and again on the same two connections; `everything` that can be on, with a session."""
    config = load_text(PLAIN + EVERYTHING if everything else PLAIN, "micro").config
    slots = {("default", "a"): 1}
    row = cells.Row(memoryview(bytearray(8 * cells.row_cells(2))).cast("Q"))
    listener = build(config, slots, row, random.random).listeners[0]
    pool = listener.pool
    if isinstance(pool, StickyPool):
        assert pool.tokens is not None
        cookie = b"Cookie: LOAD-BALANCING_SESSION=%b; " % pool.tokens.token(pool.backends[0])
        request_head = request_head.replace(b"Cookie: ", cookie)
    service = Service(asyncio.new_event_loop(), row, monotonic(), None)
    client, upstream = HttpClient(Entry(service, listener, 8080)), Upstream(service, pool.backends[0])
    here, there = Nowhere(), Nowhere()
    client.connection_made(cast(Any, here))
    upstream.connection_made(cast(Any, there))
    upstream.park(monotonic(), 1)

    def once() -> None:
        client.data_received(request_head)
        upstream.data_received(reply)

    for number in range(1, 100):  # the first ones ask for permits, and look for their cookie
        once()
        assert (here.writes, there.writes) == (number, number)
    return once
