"""Gets an upstream to the chosen backend: a parked one, or a new one by a dial.

Independent of exchanges: the caller decides what is sent on it and what may be tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from balance.errors import UpstreamError
from balance.model import BACKEND_TLS
from balance.proxy.http.tls_upstream import TlsUpstream
from balance.proxy.http.upstream import Upstream
from balance.proxy.net.dial import dial
from balance.proxy.warning_throttle import NO_REQUEST, RequestIds
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.backend import Backend, IdleTime

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))  # RFC 9110 section 9.2.2

# Seconds. No limit on parking is shorter than TOO_SOON_S, so below this the limit is not looked up; half of it, as a margin for
# the clock.
NEVER_TOO_LONG_S: Final = IdleTime.TOO_SOON_S / 2


def take_parked(backend: Backend, method: bytes, now: float) -> Upstream | None:
    """The newest parked upstream that is safe for a request of `method`, or None; those found unsafe on the way are closed."""
    parked = backend.idle
    while parked:
        upstream: Upstream = parked.pop()  # type: ignore[assignment]  # only Upstreams are parked there
        idle_s = now - upstream.parked_at
        is_stale = (idle_s > NEVER_TOO_LONG_S and idle_s > backend.idle_time.limit_s(now)) or upstream.transport.is_closing()
        if not is_stale and (method in IDEMPOTENT or upstream.is_silent()):
            upstream.parked_at = 0.0
            return upstream
        upstream.discard()
    return None


async def connect(
    worker: WorkerContext, backend: Backend, timeout_s: float, proxy_header: bytes = b"", ids: RequestIds = NO_REQUEST
) -> Upstream | UpstreamError:
    """Dial: a new upstream, or the error. Counts both; the error is returned, not raised, as the exchange may have ended.

    `proxy_header` goes before all else; the upstream is then one client's alone, see ConnectionAuth. `ids`: for the log.
    """
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
