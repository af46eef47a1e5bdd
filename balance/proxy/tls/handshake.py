"""One TLS handshake of a client: counted, and told apart when it fails.

The application's protocol hears of the connection only when the handshake is over; until then the Handshake stands for it in a
drain. The bytes, and the time limit, are the TlsTransport's.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from balance.model import Why
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.net.turns import Turns
from balance.proxy.tls.record_feed import RecordFeed
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.tls.contexts import ListenerTls

if TYPE_CHECKING:
    from balance.proxy.clients import Clients

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


class Chosen:
    """What a handshake begins with, as its ClientHello says."""

    __slots__ = ("certificate", "policy", "server_name", "tls")

    def __init__(self, tls: ListenerTls, policy: ssl.SSLContext, certificate: ssl.SSLContext, server_name: str) -> None:
        """`server_name` is "" where the client names none."""
        self.tls = tls
        self.policy = policy
        self.certificate = certificate
        self.server_name = server_name


class Handshake:
    """See the module. In WorkerContext.connections until ended()."""

    __slots__ = ("_worker", "chosen", "client_address", "clients", "on_cut")

    def __init__(self, worker: WorkerContext, clients: Clients, chosen: Chosen, address: str) -> None:
        """`address` is the client's, for lists of addresses that are blocked at run time."""
        self.clients = clients
        self.client_address = address
        self.on_cut: Callable[[], None] | None = None  # closes the connection
        self._worker = worker
        self.chosen = chosen
        worker.connections.add(self)

    def begun(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> tuple[Any, RecordFeed]:
        """What speaks TLS, and reads from `incoming` by the second, and writes to `outgoing`. It has done nothing yet.

        It is what an ssl.SSLObject has in C, without the object around it.
        """
        chosen = self.chosen
        fed = ssl.MemoryBIO()
        engine = cast(Any, chosen.policy)._wrap_bio(fed, outgoing, True)
        engine.context = chosen.certificate  # before the handshake: what changes by it is said in tls.contexts
        return engine, RecordFeed(engine, incoming, fed, self.flooded)

    @property
    def turns(self) -> Turns:
        """Where it waits while others begin."""
        return self._worker.turns

    def flooded(self) -> None:
        """After the handshake: the peer sends records without data, and no end of them."""
        self._worker.row.cells[counters.WHY + Why.TLS_PROTOCOL] += 1
        what = f"the TLS connection of {self.client_address} is closed: too many records without data"
        self._worker.tls_refused("flood", what)

    def ended(self, error: BaseException | None) -> None:
        """It is over; `error` is None when the application's protocol has the connection now."""
        worker = self._worker
        worker.connections.discard(self)
        self.on_cut = None
        if error is None:
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
        """The deadline of a drain has passed, or the address is blocked."""
        if self.on_cut is not None:
            self.on_cut()


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
