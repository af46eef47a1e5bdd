"""TCP health check: opens and closes a connection, without sending a byte; where the backend has TLS, after the handshake.

`host` connects to another host than the backend, for example to an agent. (For HTTP checks `host` sets only the Host field: a
public name would resolve to the balancer itself.)
"""

from __future__ import annotations

import asyncio
import time

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes.check_tls import check_tls
from balance.probes.dial import connection, is_elsewhere, proxy_header, target
from balance.probes.result import Result, failure_reason, is_explicit, unusable
from balance.tls.pem_loading import TlsError


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Passes when the connection is accepted within the timeout."""
    started = time.monotonic()
    where = target(check, Address(check.host, backend.address.port) if check.host else backend.address)
    try:
        tls = check_tls(check, backend, where, is_elsewhere=is_elsewhere(check), alpn="")
        async with asyncio.timeout(check.timeout_s), connection(where, tls=tls, header=proxy_header(check)):
            return Result(True, "connected" if tls is None else "connected, with TLS", time.monotonic() - started)
    except TlsError as error:
        return Result(False, unusable(error), time.monotonic() - started)
    except OSError as error:
        reason = failure_reason(error, where, check.timeout_s)
        return Result(False, reason, time.monotonic() - started, is_explicit(error))
