"""One TLS handshake of a client: bounded in time, counted, and told apart when it fails.

uvloop's TLS, which is compiled, does the work: read and written, a byte costs no Python here. It has no place to choose a
context by the client's name before the handshake, and it drops the alert that would tell a client why it was refused. Both are
done where it asks its context for an SSLObject: it is given a Handshake, which passes for an SSLContext. The application's
protocol hears of the connection only when the handshake is over; until then the Handshake stands for it in a drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from balance.model import Why
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.tls.contexts import ListenerTls

if TYPE_CHECKING:
    from balance.proxy.clients import Clients

SHUTDOWN_S: Final = 5.0  # for the peer's close_notify after ours, seconds; uvloop's own 30 lets a peer go on sending
MIN_HANDSHAKE_S: Final = 0.05  # uvloop refuses 0

_NO_SHARED: Final = frozenset(
    ("NO_SHARED_CIPHER", "UNSUPPORTED_PROTOCOL", "NO_SUITABLE_SIGNATURE_ALGORITHM", "NO_SUITABLE_KEY_SHARE",
     "NO_SHARED_SIGNATURE_ALGORITHMS", "VERSION_TOO_LOW", "NO_SUITABLE_GROUPS", "TLSV1_ALERT_PROTOCOL_VERSION",
     "NO_PROTOCOLS_AVAILABLE", "UNSUPPORTED_SSL_VERSION")
)  # fmt: skip
_CERTIFICATE: Final = frozenset(("CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"))
_NOT_TLS: Final = frozenset(("HTTP_REQUEST", "HTTPS_PROXY_REQUEST"))


class HandshakeObject(ssl.SSLObject):
    """Tells its Handshake how the handshake ended."""

    handshake: Handshake

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.handshake.failed(error)
            raise
        self.handshake.is_done = True


class Handshake:
    """See the module. In WorkerContext.connections until ended()."""

    __slots__ = ("_certificate", "_fd", "_outgoing", "_tls", "_worker", "client_address", "clients", "is_done", "waiter")

    __class__ = ssl.SSLContext  # type: ignore[assignment]  # uvloop and asyncio ask isinstance()

    def __init__(
        self, worker: WorkerContext, clients: Clients, tls: ListenerTls, certificate: ssl.SSLContext, fd: int, address: str
    ) -> None:
        """`address` is the client's, for lists of addresses that are blocked at run time."""
        self.clients = clients
        self.client_address = address
        self.is_done = False
        self.waiter: asyncio.Future[Any] | None = None  # for the end of the handshake
        self._worker = worker
        self._tls = tls
        self._certificate = certificate
        self._fd = fd
        self._outgoing: ssl.MemoryBIO | None = None
        worker.connections.add(self)

    # --- as an SSLContext --------------------------------------------------------------------------------

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: Any) -> ssl.SSLObject:
        policy = self._tls.policy
        policy.sslobject_class = HandshakeObject
        made = cast(HandshakeObject, policy.wrap_bio(incoming, outgoing, server_side=True))
        made.handshake = self
        made.context = self._certificate  # before the handshake: the certificate alone changes, see tls.contexts
        self._outgoing = outgoing
        return made

    def failed(self, error: ssl.SSLError) -> None:
        """Send the alert, which uvloop would drop, so that the client's user learns why."""
        if self._outgoing is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, self._outgoing.read())

    def ended(self, error: BaseException | None) -> None:
        """It is over; `error` is None when the application's protocol has the connection now."""
        worker = self._worker
        worker.connections.discard(self)
        self._outgoing = None
        if self.is_done and error is None:
            worker.row.cells[counters.TLS_HANDSHAKES] += 1
            return
        self.clients.leave()
        why = why_of(error)
        worker.row.cells[counters.WHY + why] += 1
        if why is not Why.TLS_ABORTED:
            reason = getattr(error, "reason", None) or type(error).__name__
            say_refused(worker, self.client_address, why, str(reason).replace("_", " ").lower())

    # --- as a connection of the worker --------------------------------------------------------------------

    def idle_since(self, now: float) -> float:
        return NEVER

    def reclaim(self) -> bool:
        return False

    def drain(self, *, is_patient: bool) -> None:
        """Nothing: it ends by its time limit."""

    def announce_close(self) -> None:
        """Nothing: there is no message for it."""

    def cut(self) -> None:
        """The deadline of a drain has passed, or the address is blocked: whoever waits for the handshake closes it."""
        if self.waiter is not None:
            self.waiter.cancel()


def why_of(error: BaseException | None) -> Why:
    """How a handshake failed."""
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", "") or ""
        if reason in _NO_SHARED:
            return Why.TLS_NO_SHARED_CIPHER
        if reason in _CERTIFICATE or "CERTIFICATE" in reason:
            return Why.TLS_CLIENT_CERTIFICATE
        return Why.TLS_NOT_TLS if reason in _NOT_TLS else Why.TLS_PROTOCOL
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return Why.TLS_TIMEOUT
    return Why.TLS_ABORTED


def say_refused(worker: WorkerContext, peer: str, why: Why, detail: str) -> None:
    """Log a handshake that failed, throttled: anybody can cause any number."""
    worker.tls_refused.say(monotonic(), f"a TLS handshake with {peer} failed: {why.word}: {detail}")
