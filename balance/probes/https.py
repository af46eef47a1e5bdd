"""The same question as `http`, asked over TLS. A certificate that does not hold for the backend's name is a bad answer.

What is trusted is what the machine trusts; SSL_CERT_FILE or SSL_CERT_DIR in the environment name other authorities.
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
    """Read once: the authorities of a machine are hundreds."""
    made = ssl.create_default_context()
    made.set_alpn_protocols(["http/1.1"])
    return made


def server_name(check: HealthCheck, address: Address) -> str:
    """Whom the certificate must be for, and whom SNI names: the check's host without its port, else the backend's."""
    if not check.host:
        return address.host or "localhost"
    host, colon, port = check.host.rpartition(":")
    return host.strip("[]") if colon and port.isdigit() and (":" not in host or host.endswith("]")) else check.host.strip("[]")


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """As http's, on a connection whose certificate was verified."""
    where = target(check, backend.address)
    return await ask(check, where, context(), server_name(check, where))
