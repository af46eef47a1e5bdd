"""OpenSSL contexts of connections to backends: one for each identity, and what is remembered for each backend.

An identity is what a pool's TLS is configured with: who is trusted, our own certificate, the name. Contexts are made before the
fork, as a trust store costs 0.8 MB; a reload makes one for what is new and keeps the others.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Sequence
from typing import Final, Protocol

from balance.model import Address
from balance.tls.pem_loading import TlsError, load_pair
from balance.tls.policy import load_authorities, set_suites
from balance.tls.settings import BackendTls

# Seconds. A resumed session is not verified again, so it may not live much longer than what it was verified by.
RESUME_S: Final = 300.0


def server_name(tls: BackendTls, address: Address) -> str:
    """The name for SNI and verification. An IP address is verified as one, and never sent (RFC 6066 section 3)."""
    return tls.server_name or address.host.removesuffix(".").partition("%")[0]


def backend_context(tls: BackendTls, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """A context for connections to backends. TlsError when OpenSSL does not take a setting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    set_suites(context, ())
    context.hostname_checks_common_name = False  # RFC 9525 section 2: a name is in subjectAltName
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca_file.file:
        load_authorities(context, tls.ca_file, "ca_file")  # never the system's store instead of a file that is empty
        # What the file has is trusted, an intermediate or a backend's own certificate, too: nobody else is named by it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.load_default_certs()
    client = tls.client
    if client is not None:
        try:
            load_pair(context, client)
        except TlsError as error:
            hint = str(error).replace("write key_password_env", "write client_key_password_env")
            raise TlsError(f"client_{error.key}", hint) from None
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def has_system_store() -> bool:
    """Whether the system has authorities that it trusts; images without ca-certificates have none."""
    found = ssl.get_default_verify_paths()
    return found.cafile is not None or (found.capath is not None and any(os.scandir(found.capath)))


class UpstreamTls:
    """The TLS of one backend, in one worker: its context, the name that it has to have, and a session to resume.

    Compared by identity: a connection is used again only while its backend still has the object that it was made with.
    """

    __slots__ = ("_session", "_verified_at", "context", "for_http1", "server_name", "settings")

    def __init__(
        self, settings: BackendTls, server_name: str, context: ssl.SSLContext, for_http1: UpstreamTls | None = None
    ) -> None:
        """`for_http1`: the same with HTTP/1.1 alone, of a backend that may choose HTTP/2."""
        self.settings = settings
        self.server_name = server_name
        self.context = context
        self.for_http1 = for_http1
        self._session: ssl.SSLSession | None = None
        self._verified_at = 0.0  # monotonic, when the session's first handshake was

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """A new connection's, with the session of before while that is young."""
        session = self._session
        if session is not None and time.monotonic() - self._verified_at > RESUME_S:
            session = self._session = None
        return self.context.wrap_bio(incoming, outgoing, server_hostname=self.server_name or None, session=session)

    def remember(self, made: ssl.SSLObject) -> None:
        """Keep the session of a connection for the next one; what was resumed is as old as it was."""
        if not made.session_reused:
            self._verified_at = time.monotonic()
        session = made.session
        if session is not None and session.has_ticket and (self._session is None or not made.session_reused):
            self._session = session

    def forget(self) -> None:
        """A handshake has failed: the next one is a full one."""
        self._session = None


class HasBackend(Protocol):
    """A backend's configuration."""

    @property
    def address(self) -> Address: ...

    @property
    def scheme(self) -> str: ...

    @property
    def protocol(self) -> str: ...


class HasBackends(Protocol):
    """A pool's configuration."""

    @property
    def tls(self) -> BackendTls: ...

    @property
    def backends(self) -> Sequence[HasBackend]: ...


class HasPools(Protocol):
    """A configuration."""

    @property
    def pools(self) -> Sequence[HasBackends]: ...


class BackendContexts:
    """Those of all pools whose backends have TLS, by their settings and by what is offered by ALPN."""

    __slots__ = ("_made",)

    def __init__(self, config: HasPools, previous: BackendContexts | None = None) -> None:
        """TlsError when OpenSSL does not take one of them."""
        known = previous._made if previous is not None else {}
        used = {
            (pool.tls, offered)
            for pool in config.pools
            for backend in pool.backends
            if pool.tls.is_for(backend.scheme)
            for offered in offers(backend.protocol)
        }
        self._made: dict[tuple[BackendTls, tuple[str, ...]], ssl.SSLContext] = {
            each: known.get(each) or backend_context(*each) for each in used
        }

    def of(self, pool: HasBackends, backend: HasBackend, before: UpstreamTls | None = None) -> UpstreamTls | None:
        """A backend's TLS: that of `before`, which is for the same protocol, where nothing has changed. None: it has none."""
        if not pool.tls.is_for(backend.scheme):
            return None
        name = server_name(pool.tls, backend.address)
        if before is not None and before.settings == pool.tls and before.server_name == name:
            return before
        made: UpstreamTls | None = None
        for offered in reversed(offers(backend.protocol)):
            made = UpstreamTls(pool.tls, name, self._context(pool.tls, offered), made)
        return made

    def _context(self, tls: BackendTls, offered: tuple[str, ...]) -> ssl.SSLContext:
        context = self._made.get((tls, offered))
        if context is None:  # they could not be made before the fork
            context = self._made[tls, offered] = backend_context(tls, offered)
        return context


def offers(protocol: str) -> tuple[tuple[str, ...], ...]:
    """What is offered by ALPN to a backend of this protocol; last what is offered for HTTP/1.1 alone, where that differs."""
    if protocol == "h2":
        return (("h2",),)
    return (("h2", "http/1.1"), ("http/1.1",)) if protocol == "auto" else (("http/1.1",),)
