"""Connects to every backend of a configuration, for `balance validate --check-backends`: with TLS where it is configured."""

from __future__ import annotations

import contextlib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from balance.config.loading import Loaded
from balance.config.model import BackendConfig, PoolConfig
from balance.errors import Problem
from balance.tls.backend_context import backend_context, offers, server_name
from balance.tls.backend_failure import failure_of
from balance.tls.pem_loading import TlsError
from balance.tls.settings import BackendTls
from balance.tls.x509 import parse_certificate

CONNECT_TIMEOUT_S = 2.0
REFUSAL_S = 0.3  # with TLS 1.3 a backend refuses our certificate after the handshake
MAX_CONCURRENT = 64


@dataclass(frozen=True, slots=True)
class BackendVerdict:
    """What a connection to one backend has shown."""

    name: str  # pool.backend
    problem: Problem | None
    tls: str = ""  # what was agreed on, in words; "" for a plain backend


def check_backends(loaded: Loaded) -> tuple[BackendVerdict, ...]:
    """Connect to each backend once."""
    pools = loaded.config.pools
    used = {_tls_of(pool, backend) for pool in pools for backend in pool.backends if pool.tls.is_for(backend.scheme)}
    contexts = {each: _context(*each) for each in used}
    named = [(number, position) for number, pool in enumerate(pools) for position in range(len(pool.backends))]
    if not named:
        return ()

    def verdict(number: int, position: int) -> BackendVerdict:
        pool = pools[number]
        backend = pool.backends[position]
        made = contexts[_tls_of(pool, backend)] if pool.tls.is_for(backend.scheme) else None
        reason, tls = _connect(pool, backend, made)
        name = f"{pool.name}.{backend.name}"
        message = f"{name} at {backend.address} can't be reached: {reason}"
        return BackendVerdict(name, loaded.backend_problem(number, position, message) if reason else None, tls)

    with ThreadPoolExecutor(min(MAX_CONCURRENT, len(named))) as threads:
        return tuple(threads.map(lambda each: verdict(*each), named))


def _tls_of(pool: PoolConfig, backend: BackendConfig) -> tuple[BackendTls, tuple[str, ...]]:
    """Its settings, and what traffic offers by ALPN."""
    return pool.tls, offers(backend.protocol)[0]


def _context(tls: BackendTls, offered: tuple[str, ...]) -> ssl.SSLContext | TlsError:
    try:
        return backend_context(tls, offered)
    except TlsError as error:
        return error


def _connect(pool: PoolConfig, backend: BackendConfig, made: ssl.SSLContext | TlsError | None) -> tuple[str, str]:
    """Why the connection failed, "" when it succeeded, and what is said of its TLS."""
    if isinstance(made, TlsError):
        return f"TLS can't be prepared: {made}", ""
    address = backend.address
    try:
        if address.is_unix:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(CONNECT_TIMEOUT_S)
        else:
            connection = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
        with connection:
            if address.is_unix:
                connection.connect(address.path)
            return "", "" if made is None else _secure(connection, made, server_name(pool.tls, address), backend.protocol)
    except TimeoutError:
        return f"no answer within {CONNECT_TIMEOUT_S:g}s", ""
    except ssl.SSLError as error:
        return failure_of(error)[1], ""
    except (OSError, ValueError) as error:  # ValueError: a name that DNS can't carry
        return getattr(error, "strerror", None) or str(error), ""


def _secure(connection: socket.socket, made: ssl.SSLContext, name: str, protocol: str) -> str:
    """The handshake; what was agreed on. OSError for a backend that can't speak its protocol."""
    with made.wrap_socket(connection, server_hostname=name or None) as secured:
        secured.settimeout(REFUSAL_S)
        with contextlib.suppress(TimeoutError):
            secured.recv(1)
        chosen = secured.selected_alpn_protocol() or "http/1.1"
        if protocol == "h2" and chosen != "h2":
            raise OSError("it does not choose HTTP/2 by ALPN")
        der = secured.getpeercert(binary_form=True)
        try:
            leaf = parse_certificate(der) if der else None
        except ValueError:
            leaf = None
        whose = f", its certificate is for {', '.join(leaf.names[:3]) or 'no name'}" if leaf is not None else ""
        what = f", {chosen}" if protocol != "http1" else ""
        return f"{secured.version()}{what}{whose}{'' if made.check_hostname else ', not verified'}"
