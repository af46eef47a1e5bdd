"""Gets an upstream to the chosen backend: a parked one, or a new one by a dial.

Independent of exchanges: the caller decides what is sent on it and what may be tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from balance.errors import UpstreamError
from balance.http1.head import Request
from balance.model import BACKEND_TLS
from balance.proxy.http.http2_backends.connection_pool import ConnectionPool, is_for_http1, is_only_http1
from balance.proxy.http.tls_upstream import TlsUpstream
from balance.proxy.http.upstream import Upstream
from balance.proxy.net import system_calls
from balance.proxy.net.dial import connect_error, dial
from balance.proxy.warning_throttle import NO_REQUEST, RequestIds
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.backend import Backend, IdleTime
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))  # RFC 9110 section 9.2.2

# Seconds. No limit on parking is shorter than TOO_SOON_S, so below this the limit is not looked up; half of it, as a margin for
# the clock.
NEVER_TOO_LONG_S: Final = IdleTime.TOO_SOON_S / 2

# Plain connections are the poll's where its calls are in C. Where they are Python, the loop's own transports, which are C, cost
# 5 % less a request.
ON_THE_POLL: Final[bool] = system_calls.IS_NATIVE


def take_parked(backend: Backend, request: Request, now: float) -> Upstream | None:
    """The newest parked upstream that is safe for a request, or None; those found unsafe on the way are closed.

    Where requests share connections, a stream of one that has room.
    """
    if backend.protocol:
        return _take_shared(backend, request, now)
    method = request.method
    parked = backend.idle
    while parked:
        upstream: Upstream = parked.pop()  # type: ignore[assignment]  # only Upstreams are parked there
        idle_s = now - upstream.parked_at
        is_stale = (idle_s > NEVER_TOO_LONG_S and idle_s > backend.idle_time.limit_s(now)) or upstream.transport.is_closing()
        if not is_stale and (method == b"GET" or method in IDEMPOTENT or upstream.is_silent()):  # GET first: a set costs more
            upstream.parked_at = 0.0
            return upstream
        upstream.discard()
    return None


def _take_shared(backend: Backend, request: Request, now: float) -> Upstream | None:
    """A stream; or a parked upstream of HTTP/1.1, which a backend of protocol `auto` may have, too."""
    is_safe = request.method in IDEMPOTENT
    if backend.shared is not None and not (is_for_http1(request) and (backend.protocol == "auto" or is_only_http1(request))):
        pool: ConnectionPool = backend.shared  # type: ignore[assignment]  # nothing else is there
        upstream = pool.take(now, is_safe=is_safe)
        if upstream is not None:
            return upstream
    for parked in reversed(backend.idle):
        if isinstance(parked, Upstream):
            is_stale = now - parked.parked_at > backend.idle_time.limit_s(now) or parked.transport.is_closing()
            if not is_stale and (is_safe or parked.is_silent()):
                backend.idle.remove(parked)
                parked.parked_at = 0.0
                return parked
    return None


async def connect(
    worker: WorkerContext,
    backend: Backend,
    request: Request,
    timeout_s: float,
    proxy_header: bytes = b"",
    ids: RequestIds = NO_REQUEST,
    *,
    needs_http1: bool = False,
) -> Upstream | UpstreamError:
    """Dial: a new upstream, or the error. Counts both; the error is returned, not raised, as the exchange may have ended.

    `proxy_header` goes before all else; the upstream is then one client's alone, see ConnectionAuth. `ids`: for the log.
    Where requests share connections, there may be no dial for this one alone; `needs_http1`: not for this request.
    """
    if backend.protocol:
        if backend.shared is None:
            backend.shared = ConnectionPool(worker, backend)
        pool = cast(ConnectionPool, backend.shared)
        is_safe = request.method in IDEMPOTENT
        return await pool.connect(request, timeout_s, ids, is_safe=is_safe, needs_http1=needs_http1)
    worker.row.cells[backend.block + counters.CONNECTS] += 1
    worker.descriptors.dialling()
    tls = backend.tls
    make: Callable[[], Upstream] = partial(Upstream, worker, backend)
    if tls is not None:
        make = partial(TlsUpstream, worker, backend, tls)
    try:
        upstream = await dial(worker.loop, worker.resolver, backend.address, make, timeout_s, tls, proxy_header)
    except UpstreamError as error:
        worker.descriptors.upstreams -= 1
        worker.row.cells[backend.block + counters.CONNECT_FAILURES] += 1
        if error.is_ours:
            worker.dial_failed_here(error, ids)
        elif tls is not None and error.why in BACKEND_TLS:
            worker.handshake_failed(backend, error, ids)
        return error
    upstream.opened()
    if tls is not backend.tls:  # a reload has changed it meanwhile: it serves this request, and no other
        upstream.parking = []
    if proxy_header and tls is None and not upstream.transport.is_closing():
        upstream.transport.write(proxy_header)
    return upstream


def dial_plainly(exchange: Exchange, lease: Lease, timeout_s: float, proxy_header: bytes, now: float) -> bool:
    """As connect() for the backend of `lease`, where it needs no task: HTTP/1 without TLS, to an address that is known by now.

    Whether that is so; the exchange's dial_ended() follows then, not from within this call.
    """
    worker, backend = exchange.settings.worker, lease.backend
    if not ON_THE_POLL or backend.tls is not None or backend.protocol:
        return False
    address = backend.address
    host = "" if address.is_unix else address.host if address.is_ip else worker.resolver.known(address.host)
    if not (host or address.is_unix):
        return False
    worker.row.cells[backend.block + counters.CONNECTS] += 1
    worker.descriptors.dialling()
    dialling = _PlainDial(exchange, lease, timeout_s, proxy_header, Upstream(worker, backend))
    try:
        worker.plain.connect(address, host, dialling.upstream, dialling, timeout_s, now)
    except OSError as error:
        worker.loop.call_soon(dialling.dial_failed, error)
    return True


class _PlainDial:
    """Whom the worker's poll tells. It goes on when the exchange has ended."""

    __slots__ = ("_exchange", "_lease", "_proxy_header", "_timeout_s", "upstream")

    def __init__(self, exchange: Exchange, lease: Lease, timeout_s: float, proxy_header: bytes, upstream: Upstream) -> None:
        self._exchange = exchange
        self._lease = lease
        self._timeout_s = timeout_s
        self._proxy_header = proxy_header
        self.upstream = upstream

    def dialled(self) -> None:
        """See Dialler."""
        upstream, proxy_header = self.upstream, self._proxy_header
        upstream.opened()
        if upstream.backend.tls is not None:  # a reload has changed it meanwhile: it serves this request, and no other
            upstream.parking = []
        if proxy_header:
            upstream.transport.write(proxy_header)
        self._exchange.dial_ended(upstream, self._lease, proxy_header)

    def dial_failed(self, error: OSError) -> None:
        """See Dialler."""
        failure = connect_error(error, self._timeout_s)
        worker = self.upstream.worker
        worker.descriptors.upstreams -= 1
        worker.row.cells[self.upstream.backend.block + counters.CONNECT_FAILURES] += 1
        if failure.is_ours:
            worker.dial_failed_here(failure, self._exchange.ids())
        self._exchange.dial_ended(failure, self._lease, self._proxy_header)
