"""Two instances and a Redis that is stopped, frozen, filled and restarted under load: what its users notice.

A user is known by his cookie, goes to either instance in turn and notes each change of his backend.
"""

from __future__ import annotations

import http.client
import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from instance_process import PATIENCE_S, Instance, Origin, until
from redis_server import RedisServer

FILE = """\
listen: "127.0.0.1:0"
admin: {{listen: "127.0.0.1:0"}}
backends: [{backends}]
load_balancer: {{algorithm: random}}
session_affinity: {{enabled: true, mode: redis, cookie: {{name: S}}}}
redis: {{url: "{url}", timeout: {timeout}}}
shutdown: {{delay: 0}}
"""
USERS = 8
COOKIE = re.compile(r"S=([\w-]+);")


@dataclass
class Findings:
    """What happened."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    lines: list[str] = field(default_factory=list)  # of the instances' logs, about Redis


class User(threading.Thread):
    """Asks one instance, then the other. One that does not keep its cookie is somebody new each time."""

    def __init__(
        self, ports: list[int], findings: Findings, stop: threading.Event, lock: threading.Lock, *, keeps_cookie: bool
    ) -> None:
        super().__init__(daemon=True)
        self._keeps_cookie = keeps_cookie
        self._ports = ports
        self._findings = findings
        self._ended = stop
        self._lock = lock

    def run(self) -> None:
        cookie, origin, turn = "", "", 0
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S) for port in self._ports]
        while not self._ended.is_set():
            turn += 1
            connection = connections[turn % len(connections)]
            begun = time.monotonic()
            try:
                connection.request("GET", "/", headers={"Cookie": f"S={cookie}"} if cookie else {})
                response = connection.getresponse()
                status, body = response.status, response.read().decode()
                given = COOKIE.match(response.getheader("Set-Cookie") or "")
            except (OSError, http.client.HTTPException) as error:
                status, body, given = 0, repr(error), None
                connection.close()
            with self._lock:
                findings = self._findings
                findings.requests += 1
                findings.slowest_s = max(findings.slowest_s, time.monotonic() - begun)
                if status != 200:
                    findings.failed.append(f"{status} {body[:80]}")
                elif origin and body != origin:
                    findings.moved.append(f"{cookie}: {origin} -> {body}")
            if status == 200 and self._keeps_cookie:
                origin = body
                if given is not None:
                    cookie = given[1]
            self._ended.wait(0.01)


def drill(seconds: float = 2.0, say: Callable[[str], None] = lambda line: None, timeout: str = "100ms") -> Findings:
    """Each trouble for `seconds`, and as long in between."""
    findings, stop, lock = Findings(), threading.Event(), threading.Lock()
    origins = [Origin(f"o{number}") for number in range(3)]
    redis = RedisServer(is_saved=True)
    instances: list[Instance] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            backends = ", ".join(f'{{name: {origin.name}, address: "{origin.address}"}}' for origin in origins)
            text = FILE.format(backends=backends, url=redis.url, timeout=timeout)
            instances += [Instance(Path(folder), text) for _ in range(2)]
            for instance in instances:
                instance.ready()
                in_state(instance, "up")
            ports = [instance.port for instance in instances]
            users = [User(ports, findings, stop, lock, keeps_cookie=number > 0) for number in range(USERS)]
            for user in users:
                user.start()
            time.sleep(seconds)
            client = redis.client()
            troubles: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
                ("stopped", redis.stop, redis.start),
                ("frozen", redis.freeze, redis.thaw),
                ("full", lambda: client.config_set("maxmemory", 1), lambda: client.config_set("maxmemory", 0)),
                ("restarted", redis.stop, redis.start),
            ]
            for name, spoil, heal in troubles:
                before = findings.requests
                spoil()
                time.sleep(seconds if name != "restarted" else 0.0)
                heal()
                for instance in instances:
                    in_state(instance, "up")
                time.sleep(seconds)
                bad = f"{len(findings.failed)} failed, {len(findings.moved)} moved"
                say(f"{name}: {findings.requests - before} requests; so far {bad}")
            stop.set()
            for user in users:
                user.join(PATIENCE_S)
            findings.lines = [line for instance in instances for line in instance.lines if "Redis" in line]
    finally:
        for instance in instances:
            instance.destroy()
        for origin in origins:
            origin.stop()
        redis.destroy()
    return findings


def in_state(instance: Instance, wanted: str) -> None:
    def state() -> str:
        return str(instance.ask("/status")[1]["redis"]["state"])

    until(lambda: state() == wanted, lambda: f"{wanted}, not {state()}")
