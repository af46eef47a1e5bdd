"""A probe's own connection to a backend: never a pooled one, closed after one question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from balance.config.model import HealthCheck
from balance.model import Address


def target(check: HealthCheck, address: Address) -> Address:
    """Where to connect to: the backend's own machine, on the check's own port if it has one."""
    return replace(address, port=check.port) if check.port and not address.is_unix else address


@asynccontextmanager
async def dialled(
    address: Address, limit_bytes: int = 2**16
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `address`, gone when the block ends: at once, since nobody waits for a slow peer's FIN."""
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.path, limit=limit_bytes)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=limit_bytes)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
