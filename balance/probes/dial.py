"""The connection of a health check: a new one for each check, never pooled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from balance.config.model import HealthCheck
from balance.model import Address
from balance.probes.check_tls import CheckTls
from balance.proxy_protocol.header_writer import local_header

SHUTDOWN_S: Final = 5.0  # for the backend's close_notify after ours


def target(check: HealthCheck, address: Address) -> Address:
    """The address to connect to: the backend's, with health_check.port if given."""
    return replace(address, port=check.port) if check.port and not address.is_unix else address


def authority(check: HealthCheck, address: Address) -> str:
    """The value of the Host field."""
    return check.host or (str(address) if not address.is_unix else "localhost")


def is_elsewhere(check: HealthCheck) -> bool:
    """Whether another port or host is asked than the one that gets the traffic; it is spoken to as the check's type says."""
    return bool(check.port) or (check.kind == "tcp" and bool(check.host))


def proxy_header(check: HealthCheck) -> bytes:
    """What a check sends first. Who is asked elsewhere gets no header, as in HAProxy."""
    return local_header(check.send_proxy) if check.send_proxy and not is_elsewhere(check) else b""


@asynccontextmanager
async def connection(
    address: Address, limit_bytes: int = 2**16, tls: CheckTls | None = None, header: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `address`, closed when the block ends. `header` goes before all else, a TLS handshake too."""
    secured: dict[str, Any] = {}
    if tls is not None and not header:
        secured = {"ssl": tls.context, "server_hostname": tls.server_name, "ssl_shutdown_timeout": SHUTDOWN_S}
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.path, limit=limit_bytes, **secured)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=limit_bytes, **secured)
    try:
        if header:
            writer.write(header)
            if tls is not None:
                await writer.start_tls(tls.context, server_hostname=tls.server_name)
        yield reader, writer
    except BaseException:
        writer.transport.abort()
        raise
    if tls is not None:
        writer.transport.close()  # with a close_notify, whose lack some servers log
    else:
        writer.transport.abort()
