"""Listening sockets that were bound before this process began, by systemd or by its predecessor. Decides which of them an
address means; what they are used for is `listening`'s.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Mapping, Sequence

from balance.model import Address

log = logging.getLogger("balance.process")


class InheritedSockets:
    """Each socket is taken once, by the first address that means it."""

    def __init__(
        self,
        sockets: Sequence[socket.socket] = (),
        owned_paths: Collection[str] = (),
        ephemeral_ports: Mapping[tuple[str, Address], Address] | None = None,
    ) -> None:
        """`sockets` may hold several for one address. `owned_paths` are Unix sockets whose file is ours to remove at the end,
        because a predecessor of our own made it. `any_port` says what the kernel chose for a listener on port 0."""
        self.ephemeral_ports = ephemeral_ports or {}
        self.sockets = frozenset(sockets)
        self.owned_paths = frozenset(owned_paths)
        self._left = list(sockets)

    def claim(self, family: int, host: str, port: int = 0) -> list[socket.socket]:
        """Those bound to just this; for a Unix socket `host` is its path. Port 0 is no certain one, so none of these."""
        taken = [sock for sock in self._left if _is_bound_to(sock, family, host, port)]
        self._left = [sock for sock in self._left if sock not in taken]
        return taken

    @property
    def unclaimed(self) -> Sequence[socket.socket]:
        """Those that no address means."""
        return self._left

    def close_unclaimed(self) -> None:
        """Nobody will accept from these, and whoever connects to them would wait for ever."""
        for sock in self._left:
            log.warning("inherited socket %s belongs to no configured address; closing it", _display_name(sock))
            sock.close()
        self._left = []


def bound_address(sock: socket.socket) -> Address:
    """As a configuration would write it: every address of the machine is no host, `[::]` is IPv6 alone."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return Address("", 0, os.fsdecode(name))
    host, port = str(name[0]), int(name[1])
    return Address("" if host == "0.0.0.0" or (host == "::" and is_dual_stack(sock)) else host, port)


def is_dual_stack(sock: socket.socket) -> bool:
    """Whether it takes IPv4 callers as well."""
    return sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def _is_bound_to(sock: socket.socket, family: int, host: str, port: int) -> bool:
    if sock.family != family:
        return False
    name = sock.getsockname()
    if isinstance(name, tuple):
        return bool(port) and name[:2] == (host, port)
    # /var/run is /run on most machines, and units and configurations write either.
    return isinstance(name, str) and os.path.realpath(name) == os.path.realpath(host)


def _display_name(sock: socket.socket) -> str:
    name = sock.getsockname()
    if isinstance(name, bytes):
        return "unix:@" + name[1:].decode("utf-8", "backslashreplace")
    return str(bound_address(sock))
