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
from balance.proxy_protocol.header_writer import local_header


def target(check: HealthCheck, address: Address) -> Address:
    """The address to connect to: the backend's, with health_check.port if given."""
    return replace(address, port=check.port) if check.port and not address.is_unix else address


def authority(check: HealthCheck, address: Address) -> str:
    """The value of the Host field."""
    return check.host or (str(address) if not address.is_unix else "localhost")


def proxy_header(check: HealthCheck) -> bytes:
    """What a check sends first. Who is asked elsewhere, by a port or host of the check's own, gets no header, as in HAProxy."""
    is_elsewhere = bool(check.port) or (check.kind == "tcp" and bool(check.host))
    return local_header(check.send_proxy) if check.send_proxy and not is_elsewhere else b""


@asynccontextmanager
async def connection(
    address: Address, limit_bytes: int = 2**16, tls: ssl.SSLContext | None = None, server_name: str = "", header: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `address`, aborted when the block ends. `header` goes before all else, a TLS handshake too."""
    secured: dict[str, Any] = (
        {"ssl": tls, "server_hostname": server_name or address.host or "localhost"} if tls and not header else {}
    )
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.path, limit=limit_bytes, **secured)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=limit_bytes, **secured)
    try:
        if header:
            writer.write(header)
            if tls:
                await writer.start_tls(tls, server_hostname=server_name or address.host or "localhost")
        yield reader, writer
    finally:
        writer.transport.abort()
