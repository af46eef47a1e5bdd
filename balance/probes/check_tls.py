"""The TLS of health checks: as the traffic's, so that a backend is ready only where requests would reach it.

The certificate is verified with the pool's authorities and our own certificate is shown. A check of type `https` of a pool
without TLS trusts the system's authorities; SSL_CERT_FILE or SSL_CERT_DIR in the environment name others.
"""

from __future__ import annotations

import functools
import ssl
from typing import NamedTuple

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.tls.backend_context import backend_context, server_name
from balance.tls.settings import BackendTls


class CheckTls(NamedTuple):
    """What a connection of a check is secured with."""

    context: ssl.SSLContext
    server_name: str  # for SNI and verification


@functools.lru_cache(maxsize=64)
def context(tls: BackendTls, alpn: str) -> ssl.SSLContext:
    """The TLS context, created once: loading the certificate authorities is slow."""
    return backend_context(tls, (alpn,) if alpn else ())


def check_tls(check: HealthCheck, backend: BackendConfig, where: Address, *, is_elsewhere: bool, alpn: str) -> CheckTls | None:
    """What a check is secured with; None: it is plain. TlsError when a setting can't be used."""
    if check.kind != "https" and (is_elsewhere or not check.tls.is_for(backend.scheme)):
        return None
    return CheckTls(context(check.tls, alpn), name_of(check, backend, where))


def name_of(check: HealthCheck, backend: BackendConfig, where: Address) -> str:
    """The name of the traffic where that has TLS. Else health_check.host without a port, else the host that is asked."""
    if check.tls.is_for(backend.scheme):
        return server_name(check.tls, backend.address) or "localhost"
    if not check.host:
        return server_name(check.tls, where) or "localhost"
    host, colon, port = check.host.rpartition(":")
    return host.strip("[]") if colon and port.isdigit() and (":" not in host or host.endswith("]")) else check.host.strip("[]")
