"""The systemd protocols: notifications (sd_notify(3)), the watchdog, and socket activation (sd_listen_fds(3)).

A missing or deaf receiver is never an error.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("balance.process")

FIRST_FD = 3  # SD_LISTEN_FDS_START
SEND_TIMEOUT_S = 1.0  # systemd's queue may be full for a moment; more than that must not hold the supervisor up
NEVER = float("inf")


class SystemdNotifier:
    """Sends notifications to $NOTIFY_SOCKET. Opens a socket for each, so that children inherit none."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        """`address` is a path or `@name` (abstract namespace), empty for none. `watchdog_s` 0 disables the watchdog."""
        self._address = address
        self._watchdog_interval_s = watchdog_s / 2  # sd_watchdog_enabled(3): half of what would kill us
        self._watchdog_s = watchdog_s
        self._has_warned = False
        self.watchdog_due = -NEVER if self._watchdog_interval_s else NEVER  # on the monotonic clock

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int) -> SystemdNotifier:
        """Reads and removes the variables, so that health-check commands do not inherit them."""
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, expected_pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        is_enabled = address and _number(usec) and (not expected_pid or _number(expected_pid) == pid)
        return cls(address, _number(usec) / 1e6 if is_enabled else 0.0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables for a successor instance."""
        found = {"NOTIFY_SOCKET": self._address} if self._address else {}
        if self._watchdog_s:
            found["WATCHDOG_USEC"] = str(round(self._watchdog_s * 1e6))  # without WATCHDOG_PID: the successor has another pid
        return found

    def ready(self, status: str) -> None:
        """READY=1: started or reloaded. `status` is shown by `systemctl status`."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """RELOADING=1; ready() ends it, also when the reload failed."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", _status("reloading"))

    def stopping(self, status: str) -> None:
        """STOPPING=1."""
        self._send("STOPPING=1", _status(status))

    def main_pid(self, pid: int) -> None:
        """MAINPID=: another process is the service from now on; sent by the old one, before the new one notifies."""
        self._send(f"MAINPID={pid}")

    def ping_watchdog(self, now: float) -> None:
        """WATCHDOG=1, if due; sets when the next one is."""
        if now >= self.watchdog_due:
            self.watchdog_due = now + self._watchdog_interval_s
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            if not self._address.startswith(("/", "@")):
                raise OSError(None, "neither a path nor an abstract name")
            target = "\0" + self._address[1:] if self._address.startswith("@") else self._address
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(SEND_TIMEOUT_S)
                sock.connect(target)
                sock.send("\n".join(lines).encode())
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            if not self._has_warned:
                self._has_warned = True
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                log.warning("cannot tell systemd %s over NOTIFY_SOCKET=%s: %s", lines[0], self._address, reason)


def activation_sockets(environ: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """The listening sockets of socket activation, from $LISTEN_FDS, $LISTEN_PID and $LISTEN_FDNAMES.

    The variables are removed and the sockets set close-on-exec. A descriptor that is no listening stream socket is warned about
    and closed.
    """
    count, expected_pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if not count or _number(expected_pid) != pid:
        return []
    found = []
    for index in range(_number(count)):
        fd = FIRST_FD + index
        try:
            found.append(_listening_socket(fd))
        except OSError as error:
            name = names[index] if index < len(names) and names[index] else "unknown"
            log.warning("inherited descriptor %d (%s) is not used: %s", fd, name, error.strerror)
    return found


def _listening_socket(fd: int) -> socket.socket:
    """OSError, and the descriptor closed, when it is no listening stream socket."""
    os.set_inheritable(fd, False)  # EBADF for a number that names nothing: then there is nothing to close
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        raise
    try:
        is_known = sock.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) and sock.type == socket.SOCK_STREAM
        if not is_known or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(None, "it is not a listening stream socket")
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())  # a line break would begin another assignment


def _number(text: str) -> int:
    """0 for what is no number: sd_notify's variables are nothing to fail over."""
    return int(text) if text.isascii() and text.isdigit() else 0
