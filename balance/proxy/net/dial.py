"""Connects to backends: name resolution, the connect timeout, and errors that prove that nothing was sent.

Names are resolved here and cached for NAME_TTL_S. When resolution fails, the last answer is used, so a name that once resolved
goes on working; one that never did fails only the connections that need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from balance.errors import UpstreamError
from balance.model import Address, TryPhase, Why
from balance.proxy.net.tls_dial import TlsDial
from balance.tls.backend_context import UpstreamTls

log: Final = logging.getLogger("balance.worker")

NAME_TTL_S: Final = 30.0  # getaddrinfo does not return the record's TTL; usual as `valid=30s` in nginx

P = TypeVar("P")  # has the methods of asyncio.Protocol; not bound to it, because a subclass of it can't be compiled

# Local descriptors, ports or memory have run out, which does not count against a backend.
_OURS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC, errno.EADDRNOTAVAIL))
_REFUSED: Final = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT))  # ENOENT: no such Unix socket


class Resolver:
    """Resolves host names for one worker. The cache is bounded by the number of configured names."""

    __slots__ = ("_asking", "_failing", "_known", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._failing: set[str] = set()  # names that don't resolve, which was logged
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._asking: dict[str, asyncio.Task[list[str] | OSError]] = {}

    async def resolve(self, host: str) -> list[str]:
        """The addresses of `host`, in the resolver's order. OSError when there is neither a new nor an old answer."""
        known = self._known.get(host)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        asking = self._asking.get(host)
        if asking is None:  # concurrent calls for one name share the answer
            asking = self._asking[host] = self._loop.create_task(self._ask(host))
        answer = await asyncio.shield(asking)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def known(self, host: str) -> str:
        """The one address of `host`, if it was asked for lately and has one alone; else nothing."""
        known = self._known.get(host)
        return known[1][0] if known is not None and len(known[1]) == 1 and time.monotonic() < known[0] else ""

    async def _ask(self, host: str) -> list[str] | OSError:
        """Returns an error instead of raising it, because the callers may have been cancelled."""
        try:
            answers = await self._loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            known = self._known.get(host)
            if host not in self._failing:
                self._failing.add(host)
                used = "; what it resolved to last is used" if known is not None else ""
                log.warning(
                    "a backend's name, %s, does not resolve: %s%s", host, getattr(error, "strerror", None) or error, used
                )
            if known is None:
                return error if isinstance(error, OSError) else OSError(errno.EINVAL, f"{host!r} can't be a host's name")
            addresses = known[1]
        else:
            addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
            if host in self._failing:
                self._failing.discard(host)
                log.info("a backend's name, %s, resolves again", host)
        finally:
            del self._asking[host]
        self._known[host] = (time.monotonic() + NAME_TTL_S, addresses)
        return addresses


async def dial(
    loop: asyncio.AbstractEventLoop,
    resolver: Resolver,
    address: Address,
    factory: Callable[[], P],
    timeout_s: float,
    tls: UpstreamTls | None = None,
    header: bytes = b"",
) -> P:
    """A connected protocol made by `factory`; with `tls` after the handshake, before which `header` is sent.

    UpstreamError in TryPhase.CONNECT when it fails or takes more than `timeout_s` seconds (0: no limit).
    """
    secured = None if tls is None else TlsDial(tls, header, timeout_s)
    try:
        async with asyncio.timeout(timeout_s or None):
            return await _connect(loop, resolver, address, factory, timeout_s, secured)
    except (OSError, ValueError) as error:
        if secured is not None and secured.is_connected:
            raise UpstreamError(TryPhase.CONNECT, *secured.failure(error)) from None
        if not isinstance(error, OSError):
            raise
        raise connect_error(error, timeout_s) from None


def connect_error(error: OSError, timeout_s: float) -> UpstreamError:
    """What a failed connect means."""
    if isinstance(error, TimeoutError):
        return UpstreamError(TryPhase.CONNECT, Why.CONNECT_TIMEOUT, f"no connection within {timeout_s:g} s")
    why = Why.CONNECT_REFUSED if error.errno in _REFUSED else Why.CONNECT_FAILED
    return UpstreamError(TryPhase.CONNECT, why, error.strerror or str(error), is_ours=error.errno in _OURS)


async def _connect(
    loop: asyncio.AbstractEventLoop,
    resolver: Resolver,
    address: Address,
    factory: Callable[[], P],
    timeout_s: float,
    secured: TlsDial | None,
) -> P:
    if address.is_unix:
        return await _open(loop, factory, "", address, secured)
    hosts = [address.host] if address.is_ip else await resolver.resolve(address.host)
    if not hosts:
        raise OSError(errno.ENXIO, f"{address.host} has no address")
    for host in hosts[:-1]:
        with contextlib.suppress(OSError):  # includes TimeoutError: a silent address leaves time for the others
            async with asyncio.timeout(timeout_s / len(hosts) or None):
                return await _open(loop, factory, host, address, secured)
    return await _open(loop, factory, hosts[-1], address, secured)


async def _open(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], P], host: str, address: Address, secured: TlsDial | None
) -> P:
    if secured is not None:
        return await secured.open(loop, factory, host, address)
    if address.is_unix:
        _, protocol = await loop.create_unix_connection(cast(Any, factory), address.path)
    else:
        _, protocol = await loop.create_connection(cast(Any, factory), host, address.port)
    return cast(P, protocol)
