"""An exchange in the core of HTTP/2, with a shell that answers at once: what the protocol costs beside sockets and routing."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator

from scripted.http2_sessions import Answering, Client

AT_ONCE = 2000  # requests that are made before they are measured


def sessions() -> Iterator[tuple[str, Callable[[], object]]]:
    numbers = itertools.count(1_000_000)
    yield "http2, a request of 13 fields and its reply, seen before", exchange(Client.page)
    unlike = exchange(lambda client: client.page((b"x-request-id", b"%d" % next(numbers))))
    yield "http2, the same with a field that is new", unlike
    yield "http2, a connection and its first request", first
    yield "http2, a unary call of grpc", exchange(Client.call)


def exchange(make: Callable[[Client], bytes]) -> Callable[[], object]:
    """The same requests again on a new connection, when they are over: one of 2,000 costs more."""
    client = Client()
    made = [make(client) for _ in range(AT_ONCE)]
    sent: deque[bytes] = deque()
    handler = Answering()

    def once() -> None:
        nonlocal handler
        if not sent:
            assert handler.answered in (0, AT_ONCE)
            sent.extend(made)
            handler = Answering()
        session = handler.session
        session.feed(sent.popleft(), 1.0)
        session.out.parts.clear()

    return once


FIRST = Client().page()


def first() -> None:
    handler = Answering()
    handler.session.feed(FIRST, 1.0)
