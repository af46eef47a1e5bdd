"""What a proxy asks of a connected socket that asyncio's transports do not offer."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import select
import socket
import struct
import termios

from balance.http1.forwarding.realip import UNKNOWN
from balance.http1.host import authority_of

KEEP_ALIVE_AFTER_S = 60  # of silence the kernel asks whether the peer is still there; its own default is two hours,
KEEP_ALIVE_EVERY_S = 10  # then asks again so often; its own default is 75 s, which takes longer than `timeouts.idle` has
KEEP_ALIVE_TIMES = 6  # without an answer: the peer is gone, two minutes after its last word

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends a RST
_UNIX = getattr(socket, "AF_UNIX", None)


def reset(transport: asyncio.Transport) -> None:
    """Close at once with a RST, so that the peer can tell it from an end. Unix sockets have none."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != _UNIX:
        with contextlib.suppress(OSError):  # closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def end_now(transport: asyncio.Transport) -> None:
    """Send our FIN before anything else happens. A transport's close() does it at the loop's next turn, which may come late;
    what the peer asks meanwhile would go unanswered, although it could not know. Not while something still waits to be sent.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0 and not transport.get_write_buffer_size():
        with contextlib.suppress(OSError), socket.socket(sock.family, sock.type, sock.proto, os.dup(sock.fileno())) as double:
            double.shutdown(socket.SHUT_WR)


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out when the peer has vanished without a word. What a listening socket accepts inherits it."""
    if sock.family != _UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_AFTER_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_ALIVE_EVERY_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_ALIVE_TIMES)


def other_address(name: object) -> str:
    """The IP address in a socket's name that is no plain IPv4 one: an IPv4 address inside IPv6 as such, none with a zone, which
    only this machine knows; UNKNOWN for a Unix socket."""
    if not isinstance(name, tuple):
        return UNKNOWN
    address: str = name[0]
    return address.removeprefix("::ffff:").partition("%")[0]


def local_host(transport: asyncio.BaseTransport) -> bytes:
    """Where the peer has reached us, as it would have written it in Host (RFC 9112 section 3.3)."""
    name = transport.get_extra_info("sockname")
    return authority_of(other_address(name), name[1]) if isinstance(name, tuple) else b"localhost"


def is_silent(transport: asyncio.Transport) -> bool:
    """Whether nothing waits to be read, not even an end."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return not poll.poll(0)


def has_left(transport: asyncio.Transport) -> bool:
    """Whether the peer has ended or reset, which nobody sees while reading is paused. Linux can tell; elsewhere it is False."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0 or not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def was_reset(transport: asyncio.Transport) -> bool:
    """Whether the peer has reset, which nobody sees while reading is paused. An end alone is none: it may still read."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), 0)  # POLLERR and POLLHUP are told unasked
    return bool(poll.poll(0))


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the peer has not taken yet: the transport's, and the kernel's, which may be megabytes more."""
    size = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        queued = array.array("i", (0,))
        with contextlib.suppress(OSError):
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
        size += queued[0]
    return size


def read_now(transport: asyncio.Transport) -> bytes:
    """What came and was not read yet, of a transport that reads no more because a write failed; empty at the end of it."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        return os.read(sock.fileno(), 65536)
    return b""
