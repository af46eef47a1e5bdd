"""Who may connect to a listener now: its access lists, and what was blocked at run time."""

from __future__ import annotations

import socket
from time import monotonic
from typing import Any, Final

from balance.access_lists.access_lists import AccessLists
from balance.access_lists.timed_blocks import TimedBlocks
from balance.http1.forwarding.forwarded_headers import ForwardedClient, ForwardedClients
from balance.http1.forwarding.realip import UNKNOWN, ForwardingFields
from balance.model import Why
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.snapshot import Listener

_AF_INET: Final = socket.AF_INET
_AF_INET6: Final = socket.AF_INET6
_inet_pton: Final = socket.inet_pton


def packed_address(address: str) -> bytes | None:
    """The 4 or 16 bytes of an address; None when it is none. A zone (fe80::1%eth0) does not count: lists have none."""
    try:
        if ":" not in address:
            return _inet_pton(_AF_INET, address)
        return _inet_pton(_AF_INET6, address.partition("%")[0] if "%" in address else address)
    except (OSError, ValueError):  # ValueError: a NUL
        return None


class ListenerAccess:
    """One listener's, in one worker; there is none where nothing is listed."""

    __slots__ = ("_blocks", "_listener", "_lists", "_worker")

    def __init__(self, worker: WorkerContext, listener: Listener) -> None:
        self._worker = worker
        self._listener = listener
        self._lists: AccessLists = listener.access_lists
        self._blocks: TimedBlocks = worker.blocks.blocks

    def admits_peer(self, address: Any) -> bool:
        """Whether the peer of a new connection may be served; `address` as accept() returns it. Counts and logs a refusal."""
        if type(address) is not tuple or self.admits(address[0]):
            return True  # the peer of a Unix socket has no address
        worker = self._worker
        cells = worker.row.cells
        cells[counters.WHY + Why.BLOCKED] += 1
        cells[counters.block(self._listener.slot) + counters.REFUSED_BLOCKED] += 1
        worker.blocked.say(
            monotonic(), f"listener {self._listener.name}: {address[0]} may not connect by the access lists; it is reset"
        )
        return False

    def admits(self, address: str) -> bool:
        """Whether a client of this address may be served; UNKNOWN is one that a trusted proxy does not tell."""
        if address == UNKNOWN:
            return self._lists.admits_unknown
        packed = packed_address(address)
        if packed is None:
            return self._lists.admits_unknown
        blocks = self._blocks
        return self._lists.admits(packed) and not (blocks and blocks.has(packed, int(monotonic() * 1e6)))


class BlockedClient(ForwardedClient):
    """The client of a request that may not be served."""

    __slots__ = ()

    def __init__(self, client: ForwardedClient) -> None:
        self.address = client.address
        self.problem = "this address may not be served here"
        self.is_secure = client.is_secure
        self.lines = client.lines


class JudgedClients(ForwardedClients):
    """ForwardedClients that judges the client that a trusted proxy names, for each request: a BlockedClient may not be served.

    It stands in the place of the plain ones where something is listed, so requests do not pay for it elsewhere.
    """

    __slots__ = ("_access", "_plain")

    def __init__(self, plain: ForwardedClients, access: ListenerAccess) -> None:
        self._plain = plain
        self._access = access
        self.trusted = plain.trusted

    def client(self, fields: ForwardingFields, peer: str, host: bytes) -> ForwardedClient:
        found = self._plain.client(fields, peer, host)
        return found if self._access.admits(found.address) else BlockedClient(found)
