"""What a smoke test knows of an instance: its two URLs, asked as any client would, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

METRIC = re.compile(r"^(\w+)(?:\{(.*?)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Unreachable(Exception):
    """Somebody does not answer at all."""


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """None where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Server:
    """One URL."""

    def __init__(self, url: str, tls: ssl.SSLContext, timeout_s: float, token: str = "") -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL that begins with http:// or https://")
        self.url = url
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = tls if parts.scheme == "https" else None
        self._base = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._fields = {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def port(self) -> int:
        return self._port

    def ask(self, path: str, *, method: str = "GET", fields: dict[str, str] | None = None, body: Any = None) -> Reply:
        """One request over a connection of its own. Unreachable says why there is no reply."""
        if self._tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        sent = {**self._fields, **(fields or {}), "Connection": "close"}
        data = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            connection.request(method, self._base + path, body=data, headers=sent)
            response = connection.getresponse()
            found: dict[str, str] = {}
            for name, value in response.getheaders():
                found[name.lower()] = f"{found[name.lower()]}\n{value}" if name.lower() in found else value
            return Reply(response.status, found, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"{self.url}{path}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
            ) from None
        finally:
            connection.close()

    def ask_at_once(self, path: str, count: int, fields: dict[str, str] | None = None) -> list[Reply | Unreachable]:
        """So many requests that begin together."""
        start, replies = threading.Barrier(count), list[Any]([None]) * count

        def one(number: int) -> None:
            start.wait()
            try:
                replies[number] = self.ask(path, fields=fields)
            except Unreachable as error:
                replies[number] = error

        threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return replies


class Instance:
    """The proxy and the admin port of a running Balance."""

    def __init__(self, proxy: Server, admin: Server) -> None:
        self.proxy = proxy
        self.admin = admin
        document = self._json("/config")
        self.config: dict[str, Any] = (document or {}).get("config") or {}  # empty where it may not be seen

    def _json(self, path: str) -> Any:
        reply = self.admin.ask(path)
        return reply.json() if reply.status == 200 else None

    def backends(self) -> list[dict[str, Any]]:
        return (self._json("/backends") or {}).get("backends", [])

    def counts(self) -> dict[str, dict[str, int]]:
        """By pool and backend: how many requests it was given so far."""
        found: dict[str, dict[str, int]] = {}
        for backend in self.backends():
            found.setdefault(backend["pool"], {})[backend["name"]] = backend["requests"]
        return found

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Samples by name, with their labels."""
        reply = self.admin.ask("/metrics", fields={"Accept": "text/plain"})
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for line in reply.text.splitlines() if reply.status == 200 else ():
            if match := METRIC.match(line):
                labels = dict(LABEL.findall(match[2] or ""))
                found.setdefault(match[1], []).append((labels, float(match[3])))
        return found

    def pools(self) -> list[dict[str, Any]]:
        return self.config.get("pools", [])

    def listener(self) -> dict[str, Any]:
        """The one that the proxy's URL leads to, by its port; the first where something else is before it."""
        listeners = self.config.get("listeners", [])
        for listener in listeners:
            if any(str(each).endswith(f":{self.proxy.port}") for each in listener.get("listen", [])):
                return listener
        return listeners[0] if listeners else {}

    def routes(self) -> list[dict[str, Any]]:
        return (self.listener().get("http") or {}).get("routes") or []

    def change(self, pool: str, name: str, state: str) -> Reply:
        """An order: it is the only thing here that changes anything."""
        return self.admin.ask(f"/backends/{quote(pool)}/{quote(name)}", method="PATCH", body={"state": state})


def risen(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """By pool and backend: what was counted between; only pools that something was counted in."""
    found = {}
    for pool, backends in after.items():
        rise = {name: count - before.get(pool, {}).get(name, 0) for name, count in backends.items()}
        if any(rise.values()):
            found[pool] = rise
    return found
