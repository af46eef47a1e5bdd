"""A peer with all that goes on beside requests in operation: health checks, a scrape each second, reloads.

Each reload changes the backend's weight, so that it is one. HAProxy reloads as its master does it, nginx by SIGHUP.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
import urllib.request
from pathlib import Path

from wire.child import Child
from wire.peers.balance import Balance
from wire.peers.haproxy import Haproxy
from wire.peers.nginx import Nginx
from wire.peers.peer import Mode, Peer, Site

SCRAPE_EVERY_S = 1.0
SCRAPE_TIMEOUT_S = 5.0

BALANCE_WEIGHT = '    address: "127.0.0.1:{origin}"\n'
HAPROXY_ADMIN = """
frontend admin
  bind 127.0.0.1:{admin}
  mode http
  http-request use-service prometheus-exporter if {{ path /metrics }}
"""
NGINX_ADMIN = "    location = /metrics { stub_status; }\n    location / {"


class DisturbedPeer:
    """A peer of the wire benchmark whose configuration is written again for each reload."""

    def __init__(self, peer: Peer) -> None:
        self.name = peer.name
        self._peer = peer

    def missing(self) -> str | None:
        if not isinstance(self._peer, Balance | Haproxy | Nginx):
            return "there is no way to reload it here"
        return self._peer.missing(Mode.HTTP)

    @property
    def signum(self) -> signal.Signals:
        """What makes the leader of its processes reload."""
        return signal.SIGUSR2 if isinstance(self._peer, Haproxy) else signal.SIGHUP

    def scrape_url(self, site: Site) -> str:
        return f"http://127.0.0.1:{site.port if isinstance(self._peer, Nginx) else site.admin_port}/metrics"

    def command(self, site: Site) -> list[str]:
        """Writes the configuration for the first time."""
        command = self._peer.command(site)
        self.write(command, site, 0)
        return [command[0], "-W", *command[1:]] if isinstance(self._peer, Haproxy) else command

    def path(self, command: list[str]) -> Path:
        return next(Path(word) for word in reversed(command) if word.endswith((".yaml", ".cfg", ".conf")))

    def write(self, command: list[str], site: Site, number: int) -> None:
        """The configuration of reload `number`."""
        self._peer.command(site)  # the file anew
        path, weight = self.path(command), 1 + number % 2
        text = path.read_text()
        if isinstance(self._peer, Balance):
            address = BALANCE_WEIGHT.format(origin=site.origin_port)
            text = text.replace(address, f"{address}    weight: {weight}\n").replace("interval: 2s", "interval: 1s")
            text = text.replace("timeout: 1s", "timeout: 500ms")
        elif isinstance(self._peer, Haproxy):
            text = re.sub(r"(server a \S+) check inter 2s", rf"\1 weight {weight} check inter 1s", text)
            text += HAPROXY_ADMIN.format(admin=site.admin_port)
        else:
            server = f"server 127.0.0.1:{site.origin_port}"
            text = text.replace(f"{server};", f"{server} weight={weight};")
            text = text.replace("    location / {", NGINX_ADMIN)
        path.write_text(text)


class Disturbances:
    """While entered: scrapes and reloads. How many of each there were, and how many scrapes failed."""

    def __init__(self, peer: DisturbedPeer, site: Site, child: Child, reload_every_s: float) -> None:
        self._peer = peer
        self._site = site
        self._child = child
        self._reload_every_s = reload_every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._command = peer.command(site)
        self.scrapes = self.failed_scrapes = self.reloads = 0

    def __enter__(self) -> Disturbances:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        next_reload = begun + self._reload_every_s / 2
        while not self._stopped.wait(max(0.0, begun + SCRAPE_EVERY_S * (self.scrapes + 1) - time.monotonic())):
            self.scrapes += 1
            self._scrape()
            if time.monotonic() >= next_reload:
                next_reload += self._reload_every_s
                self.reloads += 1
                self._peer.write(self._command, self._site, self.reloads)
                with contextlib.suppress(ProcessLookupError):  # the load's own figures tell that it has ended
                    os.kill(self._child.process.pid, self._peer.signum)

    def _scrape(self) -> None:
        try:
            with urllib.request.urlopen(self._peer.scrape_url(self._site), timeout=SCRAPE_TIMEOUT_S) as reply:
                reply.read()
        except OSError:
            self.failed_scrapes += 1
