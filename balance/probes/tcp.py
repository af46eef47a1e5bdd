"""The question "does anybody answer on that port?": a connection made and closed, not a byte sent.

`host` asks another machine than the backend, as an agent that speaks for it. (In HTTP it is the Host field alone: a
virtual host's public name leads back to the balancer, where every backend would look as well as the best of them.)
"""

from __future__ import annotations

import asyncio
import time

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes.dial import dialled, target
from balance.probes.result import Result, is_explicit, why_failed


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Good when the connection is accepted within the timeout."""
    started = time.monotonic()
    where = target(check, Address(check.host, backend.address.port) if check.host else backend.address)
    try:
        async with asyncio.timeout(check.timeout_s), dialled(where):
            return Result(True, "connected", time.monotonic() - started)
    except OSError as error:
        reason = why_failed(error, where, check.timeout_s)
        return Result(False, reason, time.monotonic() - started, is_explicit(error))
