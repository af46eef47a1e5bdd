"""The connection of a health check: a new one for each check, never pooled."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from balance.config.model import HealthCheck
from balance.model import Address


def target(check: HealthCheck, address: Address) -> Address:
    """The address to connect to: the backend's, with health_check.port if given."""
    return replace(address, port=check.port) if check.port and not address.is_unix else address


def authority(check: HealthCheck, address: Address) -> str:
    """The value of the Host field."""
    return check.host or (str(address) if not address.is_unix else "localhost")


@asynccontextmanager
async def connection(
    address: Address, limit_bytes: int = 2**16, tls: ssl.SSLContext | None = None, server_name: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `address`, aborted when the block ends."""
    secured: dict[str, Any] = {"ssl": tls, "server_hostname": server_name or address.host or "localhost"} if tls else {}
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.path, limit=limit_bytes, **secured)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=limit_bytes, **secured)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
