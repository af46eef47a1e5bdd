"""A probe's own connection to a backend: never a pooled one, closed after one question."""

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
    """Where to connect to: the backend's own machine, on the check's own port if it has one."""
    return replace(address, port=check.port) if check.port and not address.is_unix else address


def authority(check: HealthCheck, address: Address) -> str:
    """Who is asked, as HTTP's Host says it."""
    return check.host or (str(address) if not address.is_unix else "localhost")


@asynccontextmanager
async def dialled(
    address: Address, limit_bytes: int = 2**16, tls: ssl.SSLContext | None = None, server_name: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `address`, gone when the block ends: at once, since nobody waits for a slow peer's FIN."""
    secured: dict[str, Any] = {"ssl": tls, "server_hostname": server_name or address.host or "localhost"} if tls else {}
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.path, limit=limit_bytes, **secured)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=limit_bytes, **secured)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
