"""An instance with something of everything that the dashboard shows, and clients that keep all of it busy."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from failing_backend import FailingBackend
from instance_process import Instance, Origin
from pem_files import authority, self_signed
from server_processes import free_port

LISTENERS = ("web", "secure", "bytes")
ODD = "two.b(new+1)"  # characters that mean something in a regular expression


class Monitored:
    """The instance, its backends and its clients."""

    def __init__(self, folder: Path) -> None:
        self.one, self.two, self.third = Origin("one"), Origin("two"), Origin("three")
        self.fragile, self.shaky, self.slow = FailingBackend("fragile"), FailingBackend("shaky"), FailingBackend("slow")
        self.is_slow = False
        for backend in (self.fragile, self.shaky, self.slow):
            backend.is_failing = False
            backend.released.set()
        self.ports = {name: free_port() for name in LISTENERS}
        self.admin_port = free_port()
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self.serve_certificate(days=2)
        self.endpoints = folder / "endpoints.json"
        self.find(json.dumps([self.third.address]))
        self.authority = authority()
        self.document = self._document()
        self.instance = Instance(folder, json.dumps(self.document))
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._held: list[socket.socket] = []

    def _document(self) -> dict[str, Any]:
        off = {"passive_checks": {"enabled": False}}
        return {
            "workers": 2,
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "shutdown": {"delay": "0s"},
            "listeners": [
                {
                    "name": "web",
                    "listen": f"127.0.0.1:{self.ports['web']}",
                    "mode": "http",
                    "pool": "app",
                    "http": {
                        "routes": [
                            {
                                "name": "limited",
                                "path_prefix": "/limited",
                                "rate_limit": {"enabled": True, "key": "client-ip", "requests_per_second": 1, "burst": 1},
                            },
                            {"name": "fragile", "path_prefix": "/fragile", "pool": "fragile"},
                            {"name": "shaky", "path_prefix": "/shaky", "pool": "shaky"},
                            {"name": "slow", "path_prefix": "/slow", "pool": "slow"},
                            {"name": "found", "path_prefix": "/found", "pool": "found"},
                            {"name": "rest"},
                        ]
                    },
                },
                {
                    "name": "secure",
                    "listen": f"127.0.0.1:{self.ports['secure']}",
                    "mode": "http",
                    "pool": "app",
                    "tls": {
                        "certificates": [{"cert_file": str(self.cert), "key_file": str(self.key)}],
                        "client_auth": "verify",
                        "client_ca_file": str(self.authority.cert),
                        "client_crl_file": str(self.authority.revoking(1)),
                    },
                },
                {
                    "name": "bytes",
                    "listen": f"127.0.0.1:{self.ports['bytes']}",
                    "mode": "tcp",
                    "pool": "bytes",
                    "max_clients": 4,
                },
            ],
            "pools": {
                "app": {
                    "backends": [
                        {"name": "one", "address": self.one.address, "max_connections": 50},
                        {"name": ODD, "address": self.two.address, "max_connections": 50},
                        {"name": "spare", "address": self.third.address},
                    ],
                    "health_check": {"enabled": True, "type": "tcp", "interval": "300ms", "timeout": "250ms"} | off,
                },
                "fragile": {
                    "backends": [{"name": "fragile", "address": self.fragile.address}],
                    "health_check": off,
                    "circuit_breaker": {"enabled": True, "failure_threshold": 20, "timeout": "500ms"},
                },
                "shaky": {
                    "backends": [
                        {"name": "good", "address": self.third.address},
                        {"name": "shaky", "address": self.shaky.address},
                    ],
                    "retry": {"budget": {"ratio": 1, "min_per_second": 1000}},
                    "health_check": off,
                },
                "slow": {"backends": [{"name": "slow", "address": self.slow.address}], "health_check": off},
                "bytes": {"backends": [{"name": "raw", "address": self.third.address}]},
                "found": {"discovery": {"file": {"path": str(self.endpoints)}}},
            },
        }

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.admin_port}"

    def load(self) -> None:
        """Clients of each kind, until the end."""
        for work in (self._web, self._fragile, self._slow, self._secure, self._bytes):
            thread = threading.Thread(target=self._again, args=(work,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _again(self, work: Callable[[], None]) -> None:
        while not self._stopping.wait(0.02):
            with contextlib.suppress(OSError, http.client.HTTPException):
                work()

    def _ask(self, *paths: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["web"], timeout=5)
        with contextlib.closing(connection):
            for path in paths:
                connection.request("GET", path)
                connection.getresponse().read()

    def _web(self) -> None:
        self._ask("/", "/", "/limited", "/shaky", "/shaky")

    def _fragile(self) -> None:
        self._ask("/fragile", "/fragile")

    def _slow(self) -> None:
        if self.is_slow:
            self.slow.released.clear()
            threading.Timer(1.5, self.slow.released.set).start()
        self._ask("/slow")

    def _secure(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports["secure"], timeout=5, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            connection.getresponse().read()
        with socket.create_connection(("127.0.0.1", self.ports["secure"]), 5) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            plain.recv(100)

    def _bytes(self) -> None:
        with socket.create_connection(("127.0.0.1", self.ports["bytes"]), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while client.recv(65536):
                pass

    def fill(self) -> None:
        """Take all the connections that the listener `bytes` has."""
        self._held = [socket.create_connection(("127.0.0.1", self.ports["bytes"])) for _ in range(4)]

    def leave(self) -> None:
        for client in self._held:
            client.close()

    def serve_certificate(self, days: int) -> None:
        """One that ends so far from now, in the place of the one before."""
        pair = self_signed("test.example", days=days)
        for made, served in ((pair.key, self.key), (pair.cert, self.cert)):
            new = served.with_suffix(".new")
            shutil.copy(made, new)
            new.replace(served)

    def find(self, text: str) -> None:
        """What the file says that the pool `found` follows."""
        new = self.endpoints.with_suffix(".new")
        new.write_text(text)
        new.replace(self.endpoints)

    def reload(self, **keys: Any) -> None:
        """With these keys besides."""
        self.instance.config.write_text(json.dumps(self.document | keys))
        os.kill(self.instance.process.pid, signal.SIGHUP)

    def order(self, backend: str, state: str) -> None:
        """What `balance drain` and its like do."""
        connection = http.client.HTTPConnection(self.target, timeout=20)
        with contextlib.closing(connection):
            fields = {"Content-Type": "application/json"}
            connection.request("PATCH", f"/backends/{backend}", json.dumps({"state": state}), fields)
            assert connection.getresponse().status == 200

    def kill(self) -> None:
        self.instance.destroy()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self.leave()
        self.instance.destroy()
        for backend in (self.fragile, self.shaky, self.slow):
            backend.stop()
        for origin in (self.one, self.two, self.third):
            with contextlib.suppress(OSError):
                origin.stop()
