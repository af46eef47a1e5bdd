"""The keeper: a small process that owns the processes of autoscalers, so that no crash of ours orphans or doubles them.

It lives as long as somebody holds the other end of its socket: control, which gives the orders, and the supervisor, which hands
that end to the next control, and to the instance that replaces it in an upgrade. When all have gone it stops its processes and
ends. When it is killed itself, the kernel sends its processes SIGTERM.

It decides nothing. Orders and reports are JSON, a packet each (SOCK_SEQPACKET):

    {"op": "start", "name", "pool", "port", "recipe", "argv", "env": {...}}   a name that it knows already is left as it is
    {"op": "stop", "name", "grace_s"}      SIGTERM to its process group, then SIGKILL
    {"op": "forget", "name"}               its end is known
    {"op": "list"}

    {"event": "list", "pid", "of", "from", "processes": [{"name", "port", "recipe", "pid", "status", "stopping"}]}
                                           in parts: `from` is where this one begins, of so many
    {"event": "changed"}                   one was started or has ended: ask for the list
    {"event": "line", "name", "pool", "text"}   what one has written, bounded; dropped when nobody reads

A process that has ended is in the list, with its status, until it is forgotten: whoever asks later knows it, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Final

from balance.process.os_calls import set_parent_death_signal, set_process_name

MAX_PACKET: Final = 160_000  # below the default of net.core.wmem_max, which bounds a packet
MAX_PROCESSES: Final = 1000
FAREWELL_S: Final = 10.0  # from SIGTERM to SIGKILL when nobody is left who could say
LINE_BYTES: Final = 1000
LINES_PER_S: Final = 20  # of a process, on average, and five times that at once
READ_BYTES: Final = 16_384
LAST_READS: Final = 16  # of what a process that has ended has written: a pipe has room for 64 KB
LIST_PART: Final = 100  # processes; a packet has room for them whatever they are called


class Process:
    """One process, from its start until it is forgotten."""

    def __init__(self, order: dict[str, Any], popen: subprocess.Popen[bytes] | None, status: str = "") -> None:
        self.name: str = order["name"]
        self.pool: str = order["pool"]
        self.port: int = order["port"]
        self.recipe: str = order["recipe"]  # of which command it is; whoever asks knows what it means
        self.popen = popen
        self.status = status  # how it has ended
        self.kill_at: float | None = None
        self.pidfd = -1
        self.output = -1
        self.rest = b""
        self.allowance = float(LINES_PER_S * 5)
        self.allowed_at = time.monotonic()
        self.dropped = 0

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "port": self.port,
            "pid": self.popen.pid if self.popen is not None else 0,
            "recipe": self.recipe,
            "status": self.status,
            "stopping": self.kill_at is not None,
        }

    def signal(self, signum: signal.Signals) -> None:
        if self.popen is not None and self.popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signum)

    def may_write(self) -> bool:
        """Whether one more line may be passed on."""
        now = time.monotonic()
        self.allowance = min(self.allowance + (now - self.allowed_at) * LINES_PER_S, LINES_PER_S * 5.0)
        self.allowed_at = now
        if self.allowance < 1:
            self.dropped += 1
            return False
        self.allowance -= 1
        return True


class Keeper:
    """See the module."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(line, selectors.EVENT_READ, self._on_order)
        self._processes: dict[str, Process] = {}
        self._is_over = False

    def run(self) -> None:
        """Until the other end is closed and no process is left."""
        while not (self._is_over and not any(each.pidfd >= 0 for each in self._processes.values())):
            due = min((each.kill_at for each in self._processes.values() if each.kill_at and each.pidfd >= 0), default=None)
            timeout_s = None if due is None else max(0.0, due - time.monotonic())
            for key, _ in self._selector.select(timeout_s):
                key.data()
            now = time.monotonic()
            for process in self._processes.values():
                if process.kill_at is not None and now >= process.kill_at and process.pidfd >= 0:
                    process.signal(signal.SIGKILL)
                    process.kill_at = now + 1.0

    def _send(self, event: dict[str, Any]) -> None:
        """A report, or nothing when nobody reads: what matters is in the list."""
        with contextlib.suppress(OSError):
            self._line.send(json.dumps(event, ensure_ascii=False).encode())

    def _on_order(self) -> None:
        try:
            packet = self._line.recv(MAX_PACKET)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            packet = b""
        if not packet:
            self._farewell()
            return
        order = json.loads(packet)
        match order["op"]:
            case "start":
                self._start(order)
            case "stop" if (process := self._processes.get(order["name"])) is not None and process.kill_at is None:
                process.kill_at = time.monotonic() + order["grace_s"]
                process.signal(signal.SIGTERM)
            case "forget" if (process := self._processes.get(order["name"])) is not None and process.pidfd < 0:
                del self._processes[order["name"]]
            case "list":
                documents = [each.document() for each in self._processes.values()]
                for start in range(0, max(len(documents), 1), LIST_PART):
                    part = documents[start : start + LIST_PART]
                    self._send({"event": "list", "pid": os.getpid(), "of": len(documents), "from": start, "processes": part})

    def _start(self, order: dict[str, Any]) -> None:
        if order["name"] in self._processes or self._is_over:
            return
        try:
            if len(self._processes) >= MAX_PROCESSES:
                raise OSError(0, f"there are {MAX_PROCESSES} processes already")
            process = self._run(order)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            words = (isinstance(error, OSError) and error.strerror) or str(error)
            process = Process(order, None, f"can't be run: {words}")
        self._processes[process.name] = process
        self._send({"event": "changed"})

    def _run(self, order: dict[str, Any]) -> Process:
        """OSError where a program or a descriptor is not to be had: nothing is left of it then."""
        me = os.getpid()
        read_end, write_end = os.pipe()
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, read_end)
            try:
                os.set_blocking(read_end, False)
                popen = subprocess.Popen(
                    order["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=subprocess.STDOUT,
                    env=os.environ | order["env"],
                    start_new_session=True,
                    preexec_fn=lambda: _in_child(me),  # one thread: no lock can be held
                )
            finally:
                os.close(write_end)
            undo.callback(popen.wait)
            undo.callback(popen.kill)
            process = Process(order, popen)
            process.pidfd, process.output = os.pidfd_open(popen.pid), read_end
            undo.pop_all()
        self._selector.register(process.pidfd, selectors.EVENT_READ, lambda: self._on_exit(process))
        self._selector.register(read_end, selectors.EVENT_READ, lambda: self._on_output(process))
        return process

    def _on_exit(self, process: Process) -> None:
        assert process.popen is not None
        status = process.popen.wait()
        self._selector.unregister(process.pidfd)
        os.close(process.pidfd)
        process.pidfd = -1
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.popen.pid, signal.SIGKILL)  # what it has left behind, which would go on writing
        for _ in range(LAST_READS):
            if process.output < 0 or not self._on_output(process):
                break
        if process.output >= 0:  # a child of its own holds the other end
            self._selector.unregister(process.output)
            os.close(process.output)
            process.output = -1
        process.status = f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
        self._send({"event": "changed"})

    def _on_output(self, process: Process) -> bool:
        """Whether there may be more."""
        if process.output < 0:  # it was closed by what came with it
            return False
        try:
            data = os.read(process.output, READ_BYTES)
        except BlockingIOError:
            return False
        *lines, process.rest = (process.rest + data).split(b"\n")
        if len(process.rest) > LINE_BYTES or (not data and process.rest):
            lines.append(process.rest)
            process.rest = b""
        for line in lines:
            if line.strip() and process.may_write():
                if process.dropped:
                    self._tell(process, f"({process.dropped} lines were left out here: more than {LINES_PER_S} a second)")
                    process.dropped = 0
                self._tell(process, line[:LINE_BYTES].decode("utf-8", "replace"))
        if not data:
            self._selector.unregister(process.output)
            os.close(process.output)
            process.output = -1
        return bool(data)

    def _tell(self, process: Process, text: str) -> None:
        text = "".join(letter if letter.isprintable() else "?" for letter in text.rstrip("\r"))
        self._send({"event": "line", "name": process.name, "pool": process.pool, "text": text})

    def _farewell(self) -> None:
        """Nobody can give orders any more."""
        self._is_over = True
        self._selector.unregister(self._line)
        for process in self._processes.values():
            if process.pidfd >= 0:
                if process.kill_at is None:
                    process.signal(signal.SIGTERM)
                process.kill_at = min(process.kill_at or 1e18, time.monotonic() + FAREWELL_S)


def _in_child(keeper: int) -> None:
    """Before the program runs: signals as they are by default, and the end with the keeper's."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_DFL)
    set_parent_death_signal(keeper, signal.SIGTERM)


def main() -> int:
    """The one argument is the descriptor of its end of the socket."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # a stop of the service ends it by the socket, in its order
        signal.signal(signum, signal.SIG_IGN)
    set_process_name("balance-keeper")
    Keeper(socket.socket(fileno=int(sys.argv[1]))).run()
    return 0
