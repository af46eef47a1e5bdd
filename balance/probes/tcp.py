"""The question "does anybody answer on that port?": a connection made and closed, not a byte sent.

`host` asks another machine than the backend, as an agent that speaks for it. (In HTTP it is the Host field alone: a
virtual host's public name leads back to the balancer, where every backend would look as well as the best of them.)
"""

from __future__ import annotations

import asyncio
import time

from balance.config.model import HealthCheck
from balance.model import Address
from balance.probes.dial import dialled, target
from balance.probes.result import Result, why_failed


async def probe(check: HealthCheck, address: Address) -> Result:
    """Good when the connection is accepted within the timeout."""
    started = time.monotonic()
    where = target(check, Address(check.host, address.port) if check.host else address)
    try:
        async with asyncio.timeout(check.timeout_s), dialled(where):
            is_ok, reason = True, "connected"
    except OSError as error:
        is_ok, reason = False, why_failed(error, where, check.timeout_s)
    return Result(is_ok, reason, time.monotonic() - started)
