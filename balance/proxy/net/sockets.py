"""Operations on connected sockets that asyncio's transports do not offer."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
from typing import Final

from balance.http1.forwarding.realip import UNKNOWN
from balance.http1.host import authority_of
from balance.proxy.net.polled_transport import AnyTransport

KEEP_ALIVE_AFTER_S: Final = 60  # of silence before the kernel's first keep-alive probe; the default of Linux is two hours
KEEP_ALIVE_EVERY_S: Final = 10  # between probes; the default of Linux is 75 s, which would take longer than `timeouts.idle`
KEEP_ALIVE_TIMES: Final = 6  # probes without an answer: the peer is gone, two minutes after its last packet

UNACKNOWLEDGED_MS: Final = 60_000  # what a peer acknowledges nothing of for so long is given up, and the connection with it

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends a RST
_UNIX: Final = getattr(socket, "AF_UNIX", None)


def reset(transport: AnyTransport) -> None:
    """Close at once with a RST, so that the peer can tell it from a normal end. Unix sockets, which have no RST, just close."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != _UNIX:
        with contextlib.suppress(OSError):  # it is closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def has_tls(transport: AnyTransport | asyncio.BaseTransport) -> bool:
    """Whether TLS is spoken on it. uvloop's TLS has no half-close, and its socket's bytes are not the connection's."""
    return transport.get_extra_info("ssl_object") is not None


def read_at_once(transport: AnyTransport | asyncio.BaseTransport) -> None:
    """Let a TLS transport read from its socket only while all that it has read is decrypted and taken.

    uvloop closes a connection at the peer's FIN, and drops what a paused protocol has not taken yet. So it may not see the FIN
    before: with the socket's reading paused, the end waits in the kernel, behind the bytes.
    """
    limit = getattr(transport, "set_read_buffer_limits", None)  # of uvloop's and asyncio's TLS alike
    if limit is not None and has_tls(transport):
        limit(high=1, low=0)


def end_tls(transport: AnyTransport) -> None:
    """Send a close_notify on a connection to a backend, and go on reading: the half-close of TLS, which uvloop lacks.

    A backend may answer after it (RFC 8446 section 6.1; with TLS 1.2 many close at once, as RFC 5246 section 7.2.1 had it).
    """
    made = transport.get_extra_info("ssl_object")
    if made is not None and not transport.is_closing():
        with contextlib.suppress(ssl.SSLError):  # SSLWantReadError, as the peer's has not come
            made.unwrap()
        transport.writelines(())  # sends what OpenSSL has written


def finish_tls(transport: AnyTransport) -> bool:
    """Say goodbye on a client's TLS connection, and close. Whether that is over, all being sent.

    For a peer that has said all. close() waits for its close_notify, and throws away what comes before.
    """
    finish = getattr(transport, "finish", None)
    if finish is not None:
        return bool(finish())
    transport.close()
    return False


def end_now(transport: AnyTransport) -> None:
    """Send a FIN now, unless bytes still wait to be sent.

    A transport's close() sends it at the loop's next turn, which may be late; a request that the peer sends meanwhile would get
    no answer, although the peer could not know of the close.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0 and not transport.get_write_buffer_size() and not has_tls(transport):
        with contextlib.suppress(OSError), socket.socket(sock.family, sock.type, sock.proto, os.dup(sock.fileno())) as double:
            double.shutdown(socket.SHUT_WR)


def keep_alive(sock: socket.socket) -> None:
    """Turn on TCP keep-alive, which detects a peer that vanished without FIN or RST. Accepted sockets inherit it."""
    if sock.family != _UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_AFTER_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_ALIVE_EVERY_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_ALIVE_TIMES)


def limit_unacknowledged(sock: socket.socket) -> None:
    """Have the kernel end the connection when the peer acknowledges nothing of what was sent for UNACKNOWLEDGED_MS."""
    if sock.family != _UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)


def other_address(name: object) -> str:
    """The IP address in a socket's name, for other than plain IPv4 sockets.

    An IPv4-mapped IPv6 address is given as IPv4; a zone, which only this machine knows, is removed. UNKNOWN for a Unix socket.
    """
    if not isinstance(name, tuple):
        return UNKNOWN
    address: str = name[0]
    return address.removeprefix("::ffff:").partition("%")[0]


def local_host(transport: AnyTransport | asyncio.BaseTransport) -> bytes:
    """The local address and port of the connection, in the form of a Host field (RFC 9112 section 3.3)."""
    name = transport.get_extra_info("sockname")
    return authority_of(other_address(name), name[1]) if isinstance(name, tuple) else b"localhost"


def is_silent(transport: AnyTransport) -> bool:
    """Whether nothing waits to be read, neither bytes nor the end of the stream. False when closed."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return not poll.poll(0)


def has_left(transport: AnyTransport) -> bool:
    """Whether the peer has ended or reset, which goes unnoticed while reading is paused. Always False but on Linux."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0 or not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def was_reset(transport: AnyTransport) -> bool:
    """Whether the peer has reset, which goes unnoticed while reading is paused. False after an end only: it may still read."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), 0)  # POLLERR and POLLHUP are always reported
    return bool(poll.poll(0))


def unsent(transport: AnyTransport) -> int:
    """Bytes that the peer has not acknowledged: in the transport's buffer and in the kernel's, which may hold megabytes."""
    size = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        queued = array.array("i", (0,))
        with contextlib.suppress(OSError):
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
        size += queued[0]
    return size


def read_now(transport: AnyTransport) -> bytes:
    """Bytes left in the socket of a transport that stopped reading because a write failed; empty when there are no more."""
    sock = transport.get_extra_info("socket")
    if has_tls(transport):
        return b""
    with contextlib.suppress(OSError):
        return os.read(sock.fileno(), 65536)
    return b""


def reset_accepted(fd: int) -> None:
    """Close an accepted connection with a reset, which leaves nothing behind here: no TIME_WAIT, no bytes to be sent."""
    sock = socket.socket(fileno=fd)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
