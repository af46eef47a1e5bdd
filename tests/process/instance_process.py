"""Whole instances as real processes, and an origin server for them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATIENCE_S = 20.0  # a bound for the worst machine; nothing waits that long when all is well


def until(condition: Callable[[], Any], what: str | Callable[[], str]) -> Any:
    """The first true value of `condition`, asked again and again within PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if value := condition():
                return value
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE_S:g}s: {what if isinstance(what, str) else what()}")


class Instance:
    """`balance serve` with a configuration file, in a process group of its own, its log taken line by line."""

    def __init__(self, directory: Path, text: str, prelude: str = "") -> None:
        """`prelude` is Python that the process runs first."""
        self.config = directory / f"balance-{time.monotonic_ns()}.yaml"
        self.config.write_text(text)
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"{prelude}\nfrom balance.cli.main import main; main()",
                "serve",
                "--config",
                str(self.config),
            ],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def saying(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the log that matches."""
        match = until(lambda: re.search(pattern, self.log, re.MULTILINE), lambda: f"{pattern!r} in\n{self.log}")
        assert isinstance(match, re.Match)
        return match

    def ready(self) -> Instance:
        self.saying(r"supervisor: ready$")
        return self

    @property
    def port(self) -> int:
        return int(self.saying(r"listener main: \w+ on \S*:(\d+) to ")[1])

    @property
    def admin_port(self) -> int:
        return int(self.saying(r"admin: http://\S*:(\d+)/status")[1])

    def children(self, name: str) -> list[int]:
        """The pids of the living children that go by that name."""
        found = subprocess.run(
            ["ps", "-o", "pid=,comm=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        rows = [line.split() for line in found.stdout.splitlines()]
        return [int(pid) for pid, comm, *rest in rows if comm == name and not rest]

    def get(self, path: str = "/", port: int | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ask(self, path: str) -> tuple[int, Any]:
        """a page of the admin port, from JSON."""
        status, text = self.get(path, self.admin_port)
        return status, json.loads(text)

    def command(self, *words: str) -> tuple[int, str]:
        """What `balance` says, told those words and where the instance is: (status, output)."""
        done = subprocess.run(
            [sys.executable, "-m", "balance", *words, "--admin", f"127.0.0.1:{self.admin_port}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    def metric(self, name: str) -> float:
        """The sum of all samples of that name."""
        lines = self.get("/metrics", self.admin_port)[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[ {{]", line))

    def counts(self, name: str, value: float) -> None:
        """Wait for that value: a reply goes out a moment before it is counted."""
        until(lambda: self.metric(name) == value, lambda: f"{name} is {self.metric(name):g}, not {value:g}")

    def exits_within(self, seconds: float) -> bool:
        """Whether the process is gone by then."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ended(self) -> int:
        """Wait for the exit status."""
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def group_is_empty(self) -> bool:
        """Whether no process of the instance is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def destroy(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Origin(ThreadingHTTPServer):
    """A backend: answers with its name; /slow waits until `released` and says `waiting` meanwhile, /held
    takes a moment, and `most_at_once` counts those that it held together."""

    daemon_threads = True
    request_queue_size = 1024  # 5 by default: what comes beyond waits for retransmissions

    def __init__(self, name: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answering)
        self.name = name
        self.waiting = threading.Event()
        self.released = threading.Event()
        self.held = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.server.waiting.set()
            self.server.released.wait(PATIENCE_S)
        elif self.path == "/held":
            self.hold()
        body = self.server.name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hold(self) -> None:
        origin = self.server
        with origin.lock:
            origin.held += 1
            origin.most_at_once = max(origin.most_at_once, origin.held)
        origin.released.wait(0.05)
        with origin.lock:
            origin.held -= 1

    def log_message(self, format: str, *args: Any) -> None:
        pass
