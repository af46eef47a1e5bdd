"""Connects to every backend of a configuration, for `balance validate --check-backends`."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from balance.config.model import BackendConfig, Config
from balance.errors import Problem

CONNECT_TIMEOUT_S = 2.0
MAX_CONCURRENT = 64


def unreachable(config: Config) -> tuple[Problem, ...]:
    """A problem for each backend that refuses the connection or does not accept it in time."""
    named = [(f"{pool.name}.{backend.name}", backend) for pool in config.pools for backend in pool.backends]
    with ThreadPoolExecutor(min(MAX_CONCURRENT, len(named))) as threads:
        reasons = list(threads.map(lambda pair: _reason(pair[1]), named))
    return tuple(
        Problem(config.source, 0, 0, name, f"backend {backend.address} can't be reached: {reason}")
        for (name, backend), reason in zip(named, reasons, strict=True)
        if reason
    )


def _reason(backend: BackendConfig) -> str:
    """Why the connection failed, "" when it succeeded."""
    address = backend.address
    try:
        if address.is_unix:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(CONNECT_TIMEOUT_S)
                connection.connect(address.path)
        else:
            socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S).close()
    except TimeoutError:
        return f"no answer within {CONNECT_TIMEOUT_S:g}s"
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that DNS can't carry
        return getattr(error, "strerror", None) or str(error)
    return ""
