"""TCP health check: opens and closes a connection, without sending a byte.

`host` connects to another host than the backend, for example to an agent. (For HTTP checks `host` sets only the Host field: a
public name would resolve to the balancer itself.)
"""

from __future__ import annotations

import asyncio
import time

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes.dial import connection, proxy_header, target
from balance.probes.result import Result, failure_reason, is_explicit


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Passes when the connection is accepted within the timeout."""
    started = time.monotonic()
    where = target(check, Address(check.host, backend.address.port) if check.host else backend.address)
    try:
        async with asyncio.timeout(check.timeout_s), connection(where, header=proxy_header(check)):
            return Result(True, "connected", time.monotonic() - started)
    except OSError as error:
        reason = failure_reason(error, where, check.timeout_s)
        return Result(False, reason, time.monotonic() - started, is_explicit(error))
