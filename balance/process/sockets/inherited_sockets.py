"""Listening sockets that were bound before this process started, by systemd or by the replaced instance: which address each
belongs to.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Mapping, Sequence

from balance.model import Address

log = logging.getLogger("balance.process")


class InheritedSockets:
    """Each socket is claimed once, by the first configured address that it is bound to."""

    def __init__(
        self,
        sockets: Sequence[socket.socket] = (),
        owned_paths: Collection[str] = (),
        ephemeral_ports: Mapping[tuple[str, Address], Address] | None = None,
    ) -> None:
        """`sockets` may hold several for one address. `owned_paths` are Unix sockets whose file this program created and
        removes at the end. `ephemeral_ports` are the ports that the kernel chose for port 0.
        """
        self.ephemeral_ports = ephemeral_ports or {}
        self.sockets = frozenset(sockets)
        self.owned_paths = frozenset(owned_paths)
        self._left = list(sockets)

    def claim(self, family: int, host: str, port: int = 0) -> list[socket.socket]:
        """The sockets bound to this address; `host` is the path of a Unix socket. None for port 0."""
        taken = [sock for sock in self._left if _is_bound_to(sock, family, host, port)]
        self._left = [sock for sock in self._left if sock not in taken]
        return taken

    @property
    def unclaimed(self) -> Sequence[socket.socket]:
        """The sockets that no configured address has claimed."""
        return self._left

    def close_unclaimed(self) -> None:
        """Close them: clients that connect to them would wait for ever."""
        for sock in self._left:
            log.warning("inherited socket %s belongs to no configured address; closing it", _display_name(sock))
            sock.close()
        self._left = []


def bound_address(sock: socket.socket) -> Address:
    """The address as a configuration writes it: a wildcard is no host, `[::]` is IPv6 only."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return Address("", 0, os.fsdecode(name))
    host, port = str(name[0]), int(name[1])
    return Address("" if host == "0.0.0.0" or (host == "::" and is_dual_stack(sock)) else host, port)


def is_dual_stack(sock: socket.socket) -> bool:
    """Whether an IPv6 socket accepts IPv4 clients as well (not IPV6_V6ONLY)."""
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
