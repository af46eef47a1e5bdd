"""Control's side of the keeper: starts it when there is none, gives orders, passes on what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import balance
from balance.process.control.autoscaling.keeper import MAX_PACKET

log = logging.getLogger("balance.autoscaler")

LOOK_S: Final = 2.0  # a report may have been lost on a full socket: it is asked in any case
SILENT_S: Final = 15.0  # then it is stuck, or was stopped
# What Balance itself is told by, and no process of others should be.
OWN_VARIABLES: Final = ("BALANCE_HANDOVER", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
                        "LISTEN_FDNAMES")  # fmt: skip


_ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(balance.__file__)))
# Not by PYTHONPATH, which its processes would inherit.
_PROGRAM: Final = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); from balance.process.control.autoscaling.keeper import main; sys.exit(main())"
)


@dataclass(frozen=True, slots=True)
class KeptProcess:
    """A process as the keeper lists it. `status` is "" while it runs."""

    name: str
    pool: str
    port: int
    pid: int
    recipe: str
    status: str
    is_stopping: bool


class KeeperClient:
    """One in control. `listed` gets every list; `on_started` the socket that keeps the keeper alive, to be held elsewhere."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int | None,
        listed: Callable[[list[KeptProcess]], object],
        on_started: Callable[[int], object],
    ) -> None:
        """`fd`: the socket to a keeper that lives, from the supervisor."""
        self._loop = loop
        self._listed = listed
        self._on_started = on_started
        self._line: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None  # None too where an earlier control has started it
        self._pid = 0
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._fd = fd
        self._parts: list[KeptProcess] = []  # of a list that is not whole yet

    @property
    def is_running(self) -> bool:
        """Whether there is one whose list is to be waited for."""
        return self._line is not None or self._fd is not None

    def open(self) -> None:
        """From now on listen to the keeper that lives, where there is one: its list is then understood."""
        if self._fd is not None and self._line is None:
            self._use(socket.socket(fileno=os.dup(self._fd)))

    def start(self, name: str, pool: str, port: int, recipe: str, argv: list[str], env: dict[str, str]) -> None:
        if self._line is None:
            self._spawn()
        self._send({"op": "start", "name": name, "pool": pool, "port": port, "recipe": recipe, "argv": argv, "env": env})

    def stop(self, name: str, grace_s: float) -> None:
        self._send({"op": "stop", "name": name, "grace_s": grace_s})

    def forget(self, name: str) -> None:
        self._send({"op": "forget", "name": name})

    def close(self) -> None:
        """This process ends; the keeper lives on while the supervisor holds its socket."""
        if self._timer is not None:
            self._timer.cancel()
        if self._line is not None:
            self._loop.remove_reader(self._line)
            self._line.close()
            self._line = None

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environ = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        with theirs:
            # It outlives control, and is then a child of init, or of the supervisor where that is PID 1.
            self._child = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=environ,
                start_new_session=True,
            )
        log.info("the keeper of the autoscalers' processes is process %d", self._child.pid)
        self._on_started(ours.fileno())
        self._use(ours)

    def _use(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line
        self._heard_at = self._loop.time()
        self._loop.add_reader(line, self._on_readable)
        self._look()

    def _look(self) -> None:
        if self._line is None:
            return
        if self._loop.time() > self._heard_at + SILENT_S:
            self._lost(f"has said nothing for {SILENT_S:g}s")
            return
        self._send({"op": "list"})
        if self._line is not None:
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def _send(self, order: dict[str, Any]) -> None:
        packet = json.dumps(order, ensure_ascii=False).encode()
        if self._line is None:
            return
        if len(packet) > MAX_PACKET:
            log.error("an order to the keeper has %d bytes, of %d: a command is too long", len(packet), MAX_PACKET)
            return
        try:
            self._line.send(packet)
        except BlockingIOError:
            log.warning("the keeper takes no orders at the moment")
        except OSError:
            self._lost("has ended")

    def _on_readable(self) -> None:
        for _ in range(64):
            if self._line is None:
                return
            try:
                packet = self._line.recv(MAX_PACKET)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                packet = b""
            if not packet:
                self._lost("has ended")
                return
            self._heard_at = self._loop.time()
            self._on_event(json.loads(packet))

    def _on_event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "list":
                self._pid = event["pid"]
                if event["from"] == 0:
                    self._parts.clear()
                if event["from"] == len(self._parts):  # else one was lost: the next list is whole again
                    self._parts += (_kept(each) for each in event["processes"])
                    if len(self._parts) == event["of"]:
                        self._listed(list(self._parts))
            case "changed":
                self._send({"op": "list"})
            case "line":
                log.info("process %s: %s", event["name"].partition("/")[2], event["text"])

    def _lost(self, how: str) -> None:
        """Its processes get SIGTERM from the kernel when it is dead; new ones are started by the next keeper."""
        log.error("the keeper of the autoscalers' processes %s; its processes end with it, and are started anew", how)
        if self._line is not None:
            self._loop.remove_reader(self._line)
            self._line.close()
            self._line = None
        if self._timer is not None:
            self._timer.cancel()
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, signal.SIGKILL)  # it may be stopped, and would not see that nobody holds its socket
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        self._child, self._pid = None, 0
        self._fd = None
        self._on_started(-1)
        self._listed([])


def _kept(document: dict[str, Any]) -> KeptProcess:
    name = document["name"]
    return KeptProcess(
        name, name.partition("/")[0], document["port"], document["pid"], document["recipe"], document["status"],
        document["stopping"],
    )  # fmt: skip
