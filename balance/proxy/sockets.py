"""What a proxy asks of a connected socket that asyncio's transports do not offer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct

KEEP_ALIVE_AFTER_S = 60  # of silence the kernel asks whether the peer is still there; its own default is two hours

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends a RST
_UNIX = getattr(socket, "AF_UNIX", None)


def reset(transport: asyncio.Transport) -> None:
    """Close at once with a RST, so that the peer can tell it from an end. Unix sockets have none."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != _UNIX:
        with contextlib.suppress(OSError):  # closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out when the peer has vanished without a word. What a listening socket accepts inherits it."""
    if sock.family != _UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_AFTER_S)


def is_silent(transport: asyncio.Transport) -> bool:
    """Whether nothing waits to be read, not even an end."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return not poll.poll(0)


def read_now(transport: asyncio.Transport) -> bytes:
    """What came and was not read yet, of a transport that reads no more because a write failed; empty at the end of it."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        return os.read(sock.fileno(), 65536)
    return b""
