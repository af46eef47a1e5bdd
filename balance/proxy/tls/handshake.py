"""One TLS handshake of a client: bounded in time, counted, and told apart when it fails.

uvloop's TLS, which is compiled, does the work; of Python there is what cuts the stream into records (record_feed). It has no
place to choose a context by the client's name before the handshake, and it drops the alert that would tell a client why it was
refused. Both are done where it asks its context for an SSLObject: it is given a Handshake, which passes for an SSLContext. The
application's protocol hears of the connection only when the handshake is over; until then the Handshake stands for it in a
drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from balance.model import Why
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.tls.record_feed import RecordFeed
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
# What a client says that does not take our certificate
_REFUSALS: Final = frozenset(
    ("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN",
     "UNKNOWN_CA")
)  # fmt: skip
# Why OpenSSL does not take a client's certificate (X509_V_ERR_*), as our logs have it.
_VERIFY_WORDS: Final = {
    2: "unknown_ca", 18: "unknown_ca", 19: "unknown_ca", 20: "unknown_ca", 21: "unknown_ca", 24: "unknown_ca",
    7: "bad_signature", 9: "not_yet_valid", 10: "expired", 23: "revoked", 26: "wrong_purpose", 22: "chain_too_long",
    3: "crl_missing", 8: "crl_bad_signature", 11: "crl_not_yet_valid", 12: "crl_expired", 33: "crl_missing",
    66: "weak_key", 67: "weak_key", 68: "weak_key",
}  # fmt: skip
_NOT_TLS: Final = frozenset(("HTTP_REQUEST", "HTTPS_PROXY_REQUEST"))


class Chosen(NamedTuple):
    """What a handshake begins with, as its ClientHello says."""

    tls: ListenerTls
    policy: ssl.SSLContext
    certificate: ssl.SSLContext
    server_name: str  # "" where the client names none


class HandshakeObject(RecordFeed):
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

    __slots__ = ("_fd", "_outgoing", "_worker", "chosen", "client_address", "clients", "is_done", "waiter")

    __class__ = ssl.SSLContext  # type: ignore[assignment]  # uvloop and asyncio ask isinstance()

    def __init__(self, worker: WorkerContext, clients: Clients, chosen: Chosen, fd: int, address: str) -> None:
        """`address` is the client's, for lists of addresses that are blocked at run time."""
        self.clients = clients
        self.client_address = address
        self.is_done = False
        self.waiter: asyncio.Future[Any] | None = None  # for the end of the handshake
        self._worker = worker
        self.chosen = chosen
        self._fd = fd
        self._outgoing: ssl.MemoryBIO | None = None
        worker.connections.add(self)

    # --- as an SSLContext --------------------------------------------------------------------------------

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: Any) -> ssl.SSLObject:
        policy = self.chosen.policy
        policy.sslobject_class = HandshakeObject
        fed = ssl.MemoryBIO()
        made = cast(HandshakeObject, policy.wrap_bio(fed, outgoing, server_side=True))
        made.handshake = self
        made.begin(incoming, fed, self.flooded)
        made.context = self.chosen.certificate  # before the handshake: what changes by it is said in tls.contexts
        self._outgoing = outgoing
        return made

    def failed(self, error: ssl.SSLError) -> None:
        """Send the alert, which uvloop would drop, so that the client's user learns why."""
        if self._outgoing is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, self._outgoing.read())

    def flooded(self) -> None:
        """After the handshake: the peer sends records without data, and no end of them."""
        self._worker.row.cells[counters.WHY + Why.TLS_PROTOCOL] += 1
        what = f"the TLS connection of {self.client_address} is closed: too many records without data"
        self._worker.tls_refused("flood", what)

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
            say_refused(worker, self.client_address, why, reason_of(error), self.chosen.server_name)

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
        if "_ALERT_" in reason and reason.partition("_ALERT_")[2] in _REFUSALS:
            return Why.TLS_SERVER_CERTIFICATE
        if reason in _CERTIFICATE or "CERTIFICATE" in reason:
            return Why.TLS_CLIENT_CERTIFICATE
        return Why.TLS_NOT_TLS if reason in _NOT_TLS else Why.TLS_PROTOCOL
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return Why.TLS_TIMEOUT
    return Why.TLS_ABORTED


def reason_of(error: BaseException | None) -> str:
    """The same in more words. Of a certificate, the reason that OpenSSL has against it comes first, as one word."""
    if isinstance(error, ssl.SSLCertVerificationError):
        word = _VERIFY_WORDS.get(error.verify_code, "refused")
        return f"{word}: {error.verify_message}"
    reason = str(getattr(error, "reason", None) or type(error).__name__)
    word = "none: " if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" else ""
    return word + reason.replace("_", " ").lower()


def say_refused(worker: WorkerContext, peer: str, why: Why, detail: str, server_name: str = "") -> None:
    """Log a handshake that failed, throttled: anybody can cause any number."""
    name = f" for {server_name}" if server_name else ""
    kind = detail.partition(":")[0] if why is Why.TLS_CLIENT_CERTIFICATE else why.word  # one of a few words
    worker.tls_refused(kind, f"a TLS handshake with {peer}{name} failed: {why.word}: {detail}")
