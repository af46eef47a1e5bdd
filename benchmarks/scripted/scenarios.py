"""What is done again and again: one request, one connection, one frame. Each is made once and then run so many times.

Every one checks after its run that it did what its name says: a path that got shorter because it refuses counts for nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable

from balance.runtime import counters
from scripted.bytes_sent import (
    BODY,
    CHUNKED_REPLY,
    FRAME,
    GET,
    GET_WITH_TOKEN,
    LONG_POST,
    LONG_REPLY,
    LONGER_REPLY,
    MASKED,
    MINIMAL,
    POST,
    REPLY,
    REQUEST,
    RESPONSE,
    SWITCHED,
    UPGRADE,
)
from scripted.http2_sessions import first_requests, grpc_call, never_seen, remembered
from scripted.loopback import HTTP_LOOPBACK, TCP_LOOPBACK, Loopback
from scripted.site import (
    EVERYTHING_ON,
    FIVE_STAGES,
    FIVE_STAGES_BY_PATH,
    GUARDED,
    LIMITED,
    ONE_ROUTE,
    PLAIN,
    SAMPLED,
    TRACED,
    Site,
    many_routes,
)
from scripted.tls import TLS, TlsClients

Run = Callable[[int], None]  # do it so many times
MANY_RECORDS = 600  # more than are counted


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


def tls_keep_alive(replied: tuple[bytes, ...] = (REPLY,)) -> Run:
    """One request and its reply over TLS. The client's records are made before."""
    site = Site(TLS)
    settings, there, upstream = site.http()
    connection = TlsClients(site, settings).connected()
    records = deque(connection.encrypted(GET) for _ in range(MANY_RECORDS))

    def run(times: int) -> None:
        before, passed = connection.size, there.size
        while len(records) < times:
            records.append(connection.encrypted(GET))
        for _ in range(times):
            connection.here.data_received(records.popleft())
            for piece in replied:
                upstream.data_received(piece)
                connection.turn_ends()
            connection.take()
        _expect(connection.size - before >= times * sum(map(len, replied)), "encrypted replies")
        _expect(there.size - passed >= times * len(GET), "requests")

    return run


def tls_handshake() -> Run:
    """A connection over TLS 1.3 with a new session and a P-256 key, without a request. The client's part is not counted."""
    site = Site(TLS)
    settings, _, _ = site.http()
    clients = TlsClients(site, settings)

    def run(times: int) -> None:
        before = site.worker.row.cells[counters.TLS_HANDSHAKES]
        for _ in range(times):
            clients.connected().close()
        _expect(site.worker.row.cells[counters.TLS_HANDSHAKES] - before == times, "handshakes")
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
    here = Loopback(TCP_LOOPBACK)

    async def sessions(times: int) -> None:
        for _ in range(times):
            with here.client() as client, await here.backend() as backend:
                client.send(BODY)
                _expect(await here.received(backend) == BODY, "bytes")
                backend.send(BODY)
                _expect(await here.received(client) == BODY, "bytes")
                client.shutdown(socket.SHUT_WR)
                _expect(await here.received(backend) == b"", "an end")
                backend.shutdown(socket.SHUT_WR)
                _expect(await here.received(client) == b"", "an end")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        _expect(not here.worker.connections, "no connection left")

    return lambda times: here.loop.run_until_complete(sessions(times))


def http_connection() -> Run:
    """As with "client closes", on a socket: with the accept, the transport and the event loop."""
    here = Loopback(HTTP_LOOPBACK)
    backends: list[socket.socket] = []

    async def connections(times: int) -> None:
        for _ in range(times):
            with here.client() as client:
                client.send(GET)
                if not backends:
                    backends.append(await here.backend())
                _expect((await here.received(backends[0])).startswith(b"GET "), "a request")
                backends[0].send(REPLY)
                _expect((await here.received(client)).endswith(BODY), "a reply")
            while here.worker.connections:  # noqa: ASYNC110  # turns of the loop are what is counted
                await asyncio.sleep(0)

    return lambda times: here.loop.run_until_complete(connections(times))


def http_both_ways() -> Run:
    """As with keep-alive, on sockets: with the transports and the event loop."""
    here = Loopback(HTTP_LOOPBACK)
    ends: list[socket.socket] = []

    async def requests(times: int) -> None:
        if not ends:
            ends.append(here.client())
            ends[0].send(GET)
            ends.append(await here.backend())
            _expect((await here.received(ends[1])).startswith(b"GET "), "a request")
            ends[1].send(REPLY)
            _expect((await here.received(ends[0])).endswith(BODY), "a reply")
        client, backend = ends
        for _ in range(times):
            client.send(GET)
            _expect((await here.received(backend)).startswith(b"GET "), "a request")
            backend.send(REPLY)
            _expect((await here.received(client)).endswith(BODY), "a reply")

    return lambda times: here.loop.run_until_complete(requests(times))


def tcp_both_ways() -> Run:
    """1 KB each way on a connection in TCP mode that goes on."""
    here = Loopback(TCP_LOOPBACK)
    ends: list[socket.socket] = []

    async def both_ways(times: int) -> None:
        if not ends:
            ends.append(here.client())
            ends.append(await here.backend())
        client, backend = ends
        for _ in range(times):
            client.send(BODY)
            _expect(await here.received(backend) == BODY, "bytes")
            backend.send(BODY)
            _expect(await here.received(client) == BODY, "bytes")

    return lambda times: here.loop.run_until_complete(both_ways(times))


SCENARIOS: dict[str, Callable[[], Run]] = {
    "keep-alive, plain": keep_alive,
    "keep-alive, minimal": lambda: keep_alive((MINIMAL,)),
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
    "1 MB reply": lambda: keep_alive(replied=LONGER_REPLY),
    "POST of 1 KB": lambda: keep_alive((POST, BODY)),
    "POST of 64 KB": lambda: keep_alive(LONG_POST),
    "client closes": client_closes,
    "WebSocket frame": websocket_frame,
    "TLS, keep-alive": tls_keep_alive,
    "TLS, 64 KB reply": lambda: tls_keep_alive(LONG_REPLY),
    "TLS handshake": tls_handshake,
    "client closes, on a socket": http_connection,
    "keep-alive, on sockets": http_both_ways,
    "TCP session, on sockets": tcp_session,
    "TCP, 1 KB each way, on sockets": tcp_both_ways,
    "HTTP/2 core, GET": remembered,
    "HTTP/2 core, a field never seen": never_seen,
    "HTTP/2 core, first request": first_requests,
    "HTTP/2 core, gRPC call": grpc_call,
}


def _expect(happened: bool, what: str) -> None:
    if not happened:
        raise RuntimeError(f"the scenario does not do what it says: {what} did not come")
