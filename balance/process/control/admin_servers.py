"""The admin and metrics servers, on the sockets of the current configuration."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from starlette.applications import Starlette

from balance.admin.application import admin_app, metrics_app
from balance.admin.serving.server import AdminServer
from balance.admin.state_view import StateView
from balance.background_tasks import spawn
from balance.process.sockets.inherited_sockets import bound_address
from balance.process.sockets.listen_sockets import inode

# Called with whether the server listens on loopback only, judged by the bound sockets.
APPS: dict[str, Callable[[StateView, bool], Starlette]] = {
    "admin": admin_app,
    "metrics": lambda view, is_local_only: metrics_app(view),  # no endpoint is restricted
}
CLOSE_DELAY_S = 1.0  # the reload that closes a server may have been ordered on it, and its response is still to go out


class AdminServers:
    """One server per name."""

    def __init__(self, loop: asyncio.AbstractEventLoop, view: StateView) -> None:
        self._loop = loop
        self._view = view
        self._servers: dict[str, tuple[list[socket.socket], AdminServer]] = {}

    @property
    def sockets(self) -> dict[int, socket.socket]:
        """The sockets that are accepted from, by inode."""
        return {inode(sock): sock for socks, _ in self._servers.values() for sock in socks}

    def listen_on(self, sockets: Sequence[tuple[str, socket.socket]]) -> None:
        """Accept from exactly these (server name, socket) from now on."""
        in_use = {sock for _, sock in sockets}  # whichever server uses them now
        for name, app in APPS.items():
            configured = [sock for each, sock in sockets if each == name]
            current, server = self._servers.get(name, ([], None))
            if configured == current:
                continue
            if server is not None:
                del self._servers[name]
                self._loop.call_later(CLOSE_DELAY_S, _stop, server)
            if configured:
                is_local_only = all(bound_address(sock).is_local for sock in configured)
                tls = (lambda: self._view.config.admin.tls) if name == "admin" else None
                server = AdminServer(app(self._view, is_local_only), tls)
                server.start([double(sock) for sock in configured], f"the {name} server")  # its own, which it closes at its end
                self._servers[name] = (configured, server)
            for sock in current:
                if sock not in in_use:
                    sock.close()

    async def close(self) -> None:
        """Finish the responses under way, then close."""
        await asyncio.gather(*(server.stop() for _, server in self._servers.values()))


def double(sock: socket.socket) -> socket.socket:
    """The same socket once more.

    Not by dup(), which makes it a blocking one for a moment, in every process that has it: in an upgrade another one accepts
    there meanwhile, and its event loop would stand still in accept().
    """
    return socket.socket(fileno=os.dup(sock.fileno()))


def _stop(server: AdminServer) -> None:
    spawn(server.stop(), "closing an admin server")
