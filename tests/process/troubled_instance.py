"""An instance in much trouble at once: each kind that docs/TROUBLESHOOTING.md begins with has happened to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path

from instance_process import Instance, until

EXAMPLES = Path(__file__).parents[2] / "deployments" / "examples"
REPLIES = {
    b"/broken": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    b"/ws": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    b"/500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
}
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONFIG = """
workers: 2
listeners:
  - name: main
    listen: "127.0.0.1:0"
    http:
      routes:
        - {{name: dead, path: /dead, pool: dead}}
        - {{name: half, path: /half, pool: half}}
        - {{name: out, path: /out, pool: out}}
        - {{name: found, path: /found, pool: found}}
        - {{name: held, path: /slow, pool: app}}
        - {{name: moved, path: /moved, redirect: {{to: /}}}}
        - {{name: copied, path: /copied, pool: app, policy: {{mirror: {{pool: dead}}}}}}
        - {{name: app, path_prefix: /app, pool: app}}
  - {{name: database, mode: tcp, listen: "127.0.0.1:0", pool: app}}
  - name: secure
    listen: "127.0.0.1:0"
    pool: app
    tls: {{certificates: [{{cert_file: {certificates}/example.crt, key_file: {certificates}/example.key}}]}}
  - {{name: behind, listen: "127.0.0.1:0", pool: app, proxy_protocol: {{accept: true, trusted: [127.0.0.0/8]}}}}
pools:
  app:
    backends: [{{name: a1, address: "{good}"}}, {{name: a2, address: "{good_too}"}}]
    autoscaler: {{enabled: true, dry_run: true, driver: exec, command: [a, "{{desired}}"], min: 3, target: 1, interval: 1s}}
  dead: {{backends: [{{name: d1, address: "127.0.0.1:{nobody}"}}]}}
  half: {{backends: [{{name: h1, address: "127.0.0.1:{nobody}"}}, {{name: h2, address: "{good}"}}]}}
  out: {{backends: [{{name: o1, address: "{good}"}}]}}
  found: {{discovery: {{file: {{path: found.yaml}}}}}}
health_check: {{enabled: false, passive_checks: {{enabled: false}}}}
circuit_breaker: {{enabled: false}}
timeouts: {{read: 300ms}}
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
logging: {{access_log: {{enabled: true, output: {folder}/access.log}}}}
"""


class Backend:
    """Answers by the path; says nothing to /slow."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while data := client.recv(65536):
                path = data.split(b" ", 2)[1] if b" " in data else b""
                if path != b"/slow":
                    client.sendall(REPLIES.get(path.removeprefix(b"/app"), FINE))
                if path == b"/app/cut":
                    return

    def stop(self) -> None:
        self._listening.close()


class TroubledInstance:
    """`folder` has access.log, balance.log and config.yaml, as the page's commands want them."""

    def __init__(self, folder: Path, prelude: str = "") -> None:
        self.folder = folder
        self.backends = [Backend(), Backend()]
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = taken.getsockname()[1]
        good, good_too = (backend.address for backend in self.backends)
        text = CONFIG.format(certificates=EXAMPLES / "certificates", good=good, good_too=good_too, nobody=nobody, folder=folder)
        self.instance = Instance(folder, text, prelude).ready()
        for cause in (self._orders, self._requests, self._connections, self._reloads, self._crash):
            cause()
        (folder / "config.yaml").write_text(text.replace("name: a2,", "name: a2, weight: 3,"))
        until(lambda: '"TCP"' in self.access and '"TUNNEL"' in self.access, "the ends of a session and a tunnel")
        until(lambda: self.instance.metric("balance_mirror_dropped_total") == 1, "the copy that nobody took")
        self.instance.saying(r"pool app \(dry run\)")
        (folder / "balance.log").write_text(self.instance.log + "\n")

    @property
    def access(self) -> str:
        path = self.folder / "access.log"
        return path.read_text() if path.exists() else ""

    def destroy(self) -> None:
        self.instance.destroy()
        for backend in self.backends:
            backend.stop()

    def _port(self, listener: str) -> int:
        return int(self.instance.saying(rf"listener {listener}: \w+ on \S*:(\d+)")[1])

    def _orders(self) -> None:
        self.instance.command("drain", "out/o1")
        self.instance.command("block", "127.0.0.9")

    def _requests(self) -> None:
        for path in ["/app", "/app", "/dead", "/out", "/slow", "/app/500", "/nowhere", "/moved", "/copied"]:
            self.instance.get(path, self._port("main"))
        # Over one connection, so by one worker: each worker takes backends in turn, and two workers may both begin with h2.
        get, last = b"GET /half HTTP/1.1\r\nHost: a\r\n", b"Connection: close\r\n"
        self._say("main", get + b"\r\n" + get + last + b"\r\n")
        with contextlib.suppress(Exception):  # an incomplete reply
            self.instance.get("/app/cut", self._port("main"))
        self._say("main", b"POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: br, chunked\r\n\r\n")
        self._say("main", b"GET /app/broken HTTP/1.1\r\nHost: a\r\nX-Request-ID: ID\r\nConnection: close\r\n\r\n")

    def _connections(self) -> None:
        self._say("main", b"GET /app/ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", ends=True)
        self._say("main", b"")
        self._say("secure", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self._say("database", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ends=True)
        for listener, source in (("behind", "127.0.0.1"), ("main", "127.0.0.9")):  # no PROXY header; blocked
            with contextlib.suppress(OSError):
                self._say(listener, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", source)
        self.instance.saying("may not connect by the access lists")

    def _reloads(self) -> None:
        good = self.instance.config.read_text()
        self.instance.config.write_text(good.replace("workers: 2", "wrokers: 2"))
        status, said = self.instance.command("reload")
        assert status, said
        self.instance.config.write_text(good)

    def _crash(self) -> None:
        os.kill(self.instance.children("worker")[0] if self.instance.children("worker") else self._worker(), signal.SIGKILL)
        self.instance.saying(r"worker \d.*(killed|signal|SIGKILL)")
        until(lambda: self.instance.metric("balance_worker_restarts_total") == 1, "a successor")
        until(lambda: "worker was replaced" in self.instance.command("events", "--once")[1], "the event of it")

    def _worker(self) -> int:
        return int(self.instance.ask("/status")[1]["workers"][0]["pid"])

    def _say(self, listener: str, data: bytes, source: str = "127.0.0.1", *, ends: bool = False) -> None:
        """Send and read to the end; `ends`: to the first bytes of a reply. Without data: connect and leave."""
        with socket.create_connection(("127.0.0.1", self._port(listener)), 10, (source, 0)) as client:
            client.sendall(data)
            if not data:
                return
            if ends:
                client.recv(65536)
                return
            while client.recv(65536):
                pass
