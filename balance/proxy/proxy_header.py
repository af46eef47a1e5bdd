"""Takes the header of the PROXY protocol off a new connection, before its first byte is read: a step of `preread`.

Only the listed sources may send one, and they must: the specification forbids to guess (section 2). From here on the address
that the header tells is the client's, for access lists, limits, hashing, logs and the fields that backends get.
"""

from __future__ import annotations

from time import monotonic

from balance.http1.forwarding.realip import UNKNOWN, TrustedProxies
from balance.model import Why
from balance.proxy.preread import Caller, PrereadResult
from balance.proxy.worker_context import WorkerContext
from balance.proxy_protocol.header_parser import MAX_HEADER, MalformedHeaderError, parse_header
from balance.runtime import counters
from balance.runtime.snapshot import Listener


class ProxyHeaderStep:
    """One listener's, in one worker."""

    __slots__ = ("_listener", "_then_s", "_trusted", "_worker")

    def __init__(self, worker: WorkerContext, listener: Listener, then_s: float = 0.0) -> None:
        """`then_s` is the time limit for what follows the header, a TLS handshake; 0 for none."""
        self._then_s = then_s
        self._worker = worker
        self._listener = listener
        self._trusted = TrustedProxies(listener.proxy_protocol.trusted)

    def __call__(self, caller: Caller) -> PrereadResult:
        """See `preread.Step`. A header that names nobody leaves a connection without an address: it is the proxy's own."""
        if not caller.is_admitted:
            peer = caller.address[0] if isinstance(caller.address, tuple) else UNKNOWN
            if not self._trusted.has(peer):
                self._refused(caller, "is none of proxy_protocol.trusted")
                return PrereadResult.REFUSE
            caller.is_admitted = True
            caller.on_timeout = self._timed_out
        data = caller.peek(MAX_HEADER)
        if data is None:
            return PrereadResult.REFUSE  # a connection that is closed again, as by a port check: nothing to tell
        try:
            found = parse_header(data)
        except MalformedHeaderError as error:
            self._refused(caller, f"sent no PROXY header that can be read: {error}")
            return PrereadResult.REFUSE
        if found is None:
            return PrereadResult.WAIT
        caller.consume(found.length)
        caller.address = found.source
        if self._then_s:
            caller.extend(self._then_s)
        return PrereadResult.PASS

    def _timed_out(self, caller: Caller) -> None:
        self._refused(caller, f"sent no whole PROXY header within {self._listener.proxy_protocol.timeout_s:g}s")

    def _refused(self, caller: Caller, what: str) -> None:
        """Count and log a connection that ends for want of a header."""
        worker, listener = self._worker, self._listener
        cells = worker.row.cells
        cells[counters.WHY + Why.PROXY_HEADER] += 1
        cells[counters.block(listener.slot) + counters.REFUSED_PROXY_HEADER] += 1
        peer = caller.address[0] if isinstance(caller.address, tuple) else "a Unix socket"
        worker.unheaded.say(monotonic(), f"listener {listener.name}: {peer} {what}; its connection is closed")
