"""The `http` health check over TLS. The certificate must be valid for the backend's name.

Trusts the system's certificate authorities; SSL_CERT_FILE or SSL_CERT_DIR in the environment name others.
"""

from __future__ import annotations

import functools
import ssl

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes.dial import target
from balance.probes.http import ask
from balance.probes.result import Result


@functools.cache
def context() -> ssl.SSLContext:
    """The TLS context, created once: loading the certificate authorities is slow."""
    made = ssl.create_default_context()
    made.set_alpn_protocols(["http/1.1"])
    return made


def server_name(check: HealthCheck, address: Address) -> str:
    """The name for SNI and certificate verification: health_check.host without a port, else the backend's host."""
    if not check.host:
        return address.host or "localhost"
    host, colon, port = check.host.rpartition(":")
    return host.strip("[]") if colon and port.isdigit() and (":" not in host or host.endswith("]")) else check.host.strip("[]")


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """As `http`, over TLS with a verified certificate."""
    where = target(check, backend.address)
    return await ask(check, where, context(), server_name(check, where))
