"""A stand-in for a Consul agent, written from its documentation: the health endpoint with blocking queries
(developer.hashicorp.com/consul/api-docs/health, .../features/blocking), tokens and datacenters.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

from aiohttp import web
from stand_in import StandIn

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def duration_s(text: str) -> float:
    """Go's `10s`, `500ms`, `5m`."""
    found = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if not found:
        raise ValueError(text)
    return int(found[1]) * _UNITS[found[2]]


class ConsulAgent(StandIn):
    """`services`: the entries by name. `tokens`: None, no ACLs; else the services that each token may read."""

    def __init__(self) -> None:
        super().__init__()
        self.services: dict[str, list[dict[str, Any]]] = {}
        self.index = 10
        self.indices: dict[str, int] = {}  # of each service, as of its last change
        self.has_leader = True
        self.datacenter = "dc1"
        self.tokens: dict[str, set[str]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, name: str, *entries: dict[str, Any], step: int = 1) -> None:
        """The instances of a service are these now. A `step` of -5 restores a snapshot of long ago."""
        self.index += step
        self.indices[name] = self.index
        self.services[name] = list(entries)
        self.tell()

    def lead(self, has_leader: bool) -> None:
        """The cluster wins or loses its leader; who waits is told the latter."""
        self.has_leader = has_leader
        self.tell()

    async def answer(self, request: web.Request, fault: str) -> web.StreamResponse:
        query = request.query
        token = request.headers.get("X-Consul-Token", "")
        if self.tokens is not None and token and token not in self.tokens:
            return web.Response(status=403, text="ACL not found")
        if query.get("dc", self.datacenter) != self.datacenter:
            return web.Response(status=500, text="No path to datacenter")
        name = re.fullmatch(r"/v1/health/service/([^/]+)", request.path)
        if name is None:
            return web.Response(status=404)
        try:
            index, wait_s = int(query.get("index", "0")), min(duration_s(query.get("wait", "5m")), 600.0)
        except ValueError:
            return web.Response(status=400, text="Invalid index")
        if index:
            await self._block(name[1], index, wait_s)
        if not self.has_leader:
            return web.Response(status=500, text="No cluster leader")
        return self._health(request, name[1], token, fault)

    async def _block(self, name: str, index: int, wait_s: float) -> None:
        """Until the service is newer than the index, or the time is over, a sixteenth more at most."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s * (1 + random.random() / 16)
        while self.has_leader and self.indices.get(name, 1) <= index:
            try:
                await asyncio.wait_for(self.changed.wait(), ends_at - loop.time())
            except TimeoutError:
                return

    def _health(self, request: web.Request, name: str, token: str, fault: str) -> web.Response:
        entries = self.services.get(name, [])
        if "passing" in request.query:
            entries = [each for each in entries if all(check["Status"] == "passing" for check in each["Checks"])]
        tags = request.query.getall("tag", [])
        entries = [each for each in entries if set(tags) <= set(each["Service"].get("Tags") or ())]
        fields = {
            "X-Consul-Index": str(self.indices.get(name, self.index)),
            "X-Consul-Knownleader": "true",
            "X-Consul-Lastcontact": "0",
            "X-Consul-Effective-Consistency": "leader",
        }
        if self.tokens is not None and name not in self.tokens.get(token, set()):
            fields["X-Consul-Results-Filtered-By-Acls"] = "true"  # as it does: 200, and as if there were nobody
            entries = []
        match fault:
            case "index 0":
                fields["X-Consul-Index"] = "0"
            case "no index":
                del fields["X-Consul-Index"]
            case "empty":
                entries = []  # consul#4103: for a moment, when the leader changes
        return web.json_response(entries, headers=fields)
