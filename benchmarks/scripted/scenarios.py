"""What is done again and again: one request, one connection, one frame. Each is made once and then run so many times.

Every one checks after its run that it did what its name says: a path that got shorter because it refuses counts for nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from scripted.bytes_sent import (
    BODY,
    CHUNKED_REPLY,
    FRAME,
    GET,
    GET_WITH_TOKEN,
    LONG_REPLY,
    MASKED,
    POST,
    REPLY,
    REQUEST,
    RESPONSE,
    SWITCHED,
    UPGRADE,
)
from scripted.site import (
    EVERYTHING_ON,
    FIVE_STAGES,
    FIVE_STAGES_BY_PATH,
    GUARDED,
    LIMITED,
    ONE_ROUTE,
    PLAIN,
    SAMPLED,
    TCP,
    TRACED,
    Site,
    many_routes,
)
from scripted.transport import connected

Run = Callable[[int], None]  # do it so many times


def keep_alive(
    sent: tuple[bytes, ...] = (GET,),
    replied: tuple[bytes, ...] = (REPLY,),
    *,
    settings: str = PLAIN,
    access_log: bool = False,
) -> Run:
    """One request and its reply on the same two connections; each comes in these pieces."""
    site = Site(settings, access_log=access_log)
    settings, there, upstream = site.http()
    client, here = site.client(settings)
    sent = (site.in_session(sent[0]), *sent[1:])

    def run(times: int) -> None:
        before, passed = here.size, there.size
        for _ in range(times):
            for piece in sent:
                client.data_received(piece)
            for piece in replied:
                upstream.data_received(piece)
        _expect(here.size - before >= times * sum(map(len, replied)) * 0.9, "replies")
        _expect(there.size - passed >= times * sum(map(len, sent)), "requests")

    return run


def heads_never_seen() -> Run:
    """As with keep-alive, but neither a request's head nor a reply's comes twice."""
    site = Site(PLAIN)
    settings, _, upstream = site.http()
    client, here = site.client(settings)
    numbers = itertools.count(1_000_000)  # of one length from the first to the last

    def run(times: int) -> None:
        before = here.writes
        for number in itertools.islice(numbers, times):
            client.data_received(REQUEST % (b"%d" % number, b"%d" % number))
            upstream.data_received(RESPONSE % b"%d" % number + BODY)
        _expect(here.writes - before == times, "replies")

    return run


def client_closes() -> Run:
    """A connection of one request: accepted, answered, closed by the client."""
    site = Site(PLAIN)
    settings, _, upstream = site.http()

    def run(times: int) -> None:
        for _ in range(times):
            client, here = site.client(settings)
            client.data_received(GET)
            upstream.data_received(REPLY)
            client.eof_received()
            client.connection_lost(None)
            _expect(here.last.endswith(BODY) and here.is_closing(), "a reply and a close")
        _expect(not site.worker.connections, "no connection left")

    return run


def websocket_frame() -> Run:
    """One frame each way in a WebSocket that was agreed on before."""
    site = Site(PLAIN)
    settings, there, upstream = site.http()
    client, here = site.client(settings)
    client.data_received(UPGRADE)
    upstream.data_received(SWITCHED)
    client_end, upstream_end = here.protocol, there.protocol
    _expect(client_end is not client, "a tunnel")

    def run(times: int) -> None:
        before, passed = here.size, there.size
        for _ in range(times):
            client_end.data_received(MASKED)
            upstream_end.data_received(FRAME)
        _expect((here.size - before, there.size - passed) == (times * len(FRAME), times * len(MASKED)), "frames")

    return run


def tcp_session() -> Run:
    """A connection in TCP mode: accepted, joined with one to a backend, 1 KB each way, ended by both."""
    loop = _event_loop()
    site = Site(TCP, loop=loop)
    dialled = site.loop.dialled

    async def sessions(times: int) -> None:
        for _ in range(times):
            client = site.tcp_client()
            here = connected(client)
            while client.relay is None:  # noqa: ASYNC110  # turns of the loop are what is counted
                await asyncio.sleep(0)
            backend = dialled.pop()
            client.data_received(BODY)
            backend.data_received(BODY)
            client.eof_received()
            backend.eof_received()
            client.connection_lost(None)
            backend.connection_lost(None)
            _expect(here.last == BODY and here.is_closing(), "bytes and a close")
        _expect(not site.worker.connections, "no connection left")

    return lambda times: loop.run_until_complete(sessions(times))


SCENARIOS: dict[str, Callable[[], Run]] = {
    "keep-alive, plain": keep_alive,
    "keep-alive, everything on": lambda: keep_alive(settings=EVERYTHING_ON),
    "keep-alive, one route by host": lambda: keep_alive(settings=ONE_ROUTE),
    "keep-alive, 1,000 routes": lambda: keep_alive(settings=many_routes(1000)),
    "keep-alive, a route with five stages": lambda: keep_alive(settings=FIVE_STAGES),
    "keep-alive, five stages, one by path": lambda: keep_alive(settings=FIVE_STAGES_BY_PATH),
    "keep-alive, access log": lambda: keep_alive(access_log=True),
    "keep-alive, a rate limit": lambda: keep_alive(settings=LIMITED),
    "keep-alive, a token that is remembered": lambda: keep_alive((GET_WITH_TOKEN,), settings=GUARDED),
    "keep-alive, traced, not sampled": lambda: keep_alive(settings=TRACED),
    "keep-alive, traced and sampled": lambda: keep_alive(settings=SAMPLED),
    "heads never seen": heads_never_seen,
    "chunked reply": lambda: keep_alive(replied=CHUNKED_REPLY),
    "64 KB reply": lambda: keep_alive(replied=LONG_REPLY),
    "POST of 1 KB": lambda: keep_alive((POST, BODY)),
    "client closes": client_closes,
    "WebSocket frame": websocket_frame,
    "TCP session": tcp_session,
}


def _event_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _expect(happened: bool, what: str) -> None:
    if not happened:
        raise RuntimeError(f"the scenario does not do what it says: {what} did not come")
