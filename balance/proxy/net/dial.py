"""Opening a connection to a backend: names, the connect timeout, and what a failure proves (nothing was sent).

Names are resolved here and kept for a while; a resolver that fails leaves the last answer standing, so a name that worked goes
on working, and one that never did fails only the connections that need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from balance.errors import UpstreamError
from balance.model import Address, TryPhase, Why

log = logging.getLogger("balance.worker")

NAME_TTL_S = 30.0  # getaddrinfo hides the record's own TTL; nginx's `valid=30s` is the usual choice

P = TypeVar("P")  # it has the methods of an asyncio.Protocol: no more is asked for, and a base of it can not be compiled

# Descriptors, ports or memory of ours have run out: no backend may be judged by that.
_OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
_REFUSED = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT))  # ENOENT: a Unix socket nobody made


class Resolver:
    """Host names to addresses, for one worker. Answers stay bounded by the number of configured names."""

    __slots__ = ("_asking", "_failing", "_known", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._failing: set[str] = set()  # and that was said
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._asking: dict[str, asyncio.Task[list[str] | OSError]] = {}

    async def resolve(self, host: str) -> list[str]:
        """The addresses of `host`, in the resolver's order. OSError when there is no answer, old or new."""
        known = self._known.get(host)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        asking = self._asking.get(host)
        if asking is None:  # all who need the name meanwhile wait for the same answer
            asking = self._asking[host] = self._loop.create_task(self._ask(host))
        answer = await asyncio.shield(asking)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def _ask(self, host: str) -> list[str] | OSError:
        """Returns its error, because those who wanted to know may be gone."""
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
    loop: asyncio.AbstractEventLoop, resolver: Resolver, address: Address, factory: Callable[[], P], timeout_s: float
) -> P:
    """A connected protocol made by `factory`. UpstreamError in Phase.CONNECT when it takes over `timeout_s` (0: no limit)."""
    try:
        async with asyncio.timeout(timeout_s or None):
            return await _connect(loop, resolver, address, factory, timeout_s)
    except TimeoutError:
        raise UpstreamError(TryPhase.CONNECT, Why.CONNECT_TIMEOUT, f"no connection within {timeout_s:g} s") from None
    except OSError as error:
        why = Why.CONNECT_REFUSED if error.errno in _REFUSED else Why.CONNECT_FAILED
        raise UpstreamError(TryPhase.CONNECT, why, error.strerror or str(error), is_ours=error.errno in _OURS) from None


async def _connect(
    loop: asyncio.AbstractEventLoop, resolver: Resolver, address: Address, factory: Callable[[], P], timeout_s: float
) -> P:
    if address.is_unix:
        _, protocol = await loop.create_unix_connection(cast(Any, factory), address.path)
        return cast(P, protocol)
    hosts = [address.host] if address.is_ip else await resolver.resolve(address.host)
    if not hosts:
        raise OSError(errno.ENXIO, f"{address.host} has no address")
    for host in hosts[:-1]:
        with contextlib.suppress(OSError):  # TimeoutError is one: an address that is silent leaves time for the others
            async with asyncio.timeout(timeout_s / len(hosts) or None):
                _, protocol = await loop.create_connection(cast(Any, factory), host, address.port)
                return cast(P, protocol)
    _, protocol = await loop.create_connection(cast(Any, factory), hosts[-1], address.port)
    return cast(P, protocol)
