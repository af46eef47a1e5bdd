"""A stand-in for a Kubernetes API server, written from its documentation: list, pages and watch of EndpointSlices
(kubernetes.io/docs/reference/using-api/api-concepts), with tokens and what a Role allows.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
from typing import Any

from aiohttp import web
from stand_in import StandIn

PATH = re.compile(r"/apis/discovery\.k8s\.io/v1/namespaces/([^/]+)/endpointslices")


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    """A Status object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


GONE = status(410, "Expired", "too old resource version: 3 (7)")


class ApiServer(StandIn):
    """`slices` by name; `tokens`: None, everybody is let in; `verbs`: what the Role allows."""

    def __init__(self) -> None:
        super().__init__()
        self.slices: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.oldest = 0  # events before it are compacted away
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.tokens: set[str] | None = None
        self.verbs = {"get", "list", "watch"}
        self.watch_s = 3600.0  # a watch is ended after so long, whatever was asked
        self.bookmark_s = 3600.0
        self.is_silent = False  # watches say nothing, and do not end
        self.piece = 0  # bytes in one write of an event; 0: all

    def put(self, *slices: dict[str, Any]) -> None:
        """Create or change them, an event each."""
        for each in slices:
            made = copy.deepcopy(each)
            name = made["metadata"]["name"]
            self._event("MODIFIED" if name in self.slices else "ADDED", made)
            self.slices[name] = made
        self.tell()

    def delete(self, *names: str) -> None:
        """Delete them, an event each."""
        for name in names:
            self._event("DELETED", self.slices.pop(name))
        self.tell()

    def compact(self) -> None:
        """As etcd does every five minutes: old versions are gone."""
        self.version += 1
        self.oldest = self.version
        self.events.clear()

    def _event(self, kind: str, item: dict[str, Any]) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, kind, item))

    # --- requests -----------------------------------------------------------------------------------------

    async def answer(self, request: web.Request, fault: str) -> web.StreamResponse:
        found = PATH.fullmatch(request.path)
        is_watch = request.query.get("watch") in ("1", "true")
        if self.tokens is not None and request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return self._status(status(401, "Unauthorized", "Unauthorized"))
        if found is None:
            return self._status(status(404, "NotFound", "the server could not find the requested resource"))
        verb = "watch" if is_watch else "list"
        if verb not in self.verbs:
            said = (
                'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:shop:balance" cannot '
                f'{verb} resource "endpointslices" in API group "discovery.k8s.io" in the namespace "{found[1]}"'
            )
            return self._status(status(403, "Forbidden", said))
        if fault == "429":
            return self._status(status(429, "TooManyRequests", "too many requests"), {"Retry-After": "1"})
        return await self._watch(request, found[1], fault) if is_watch else self._list(request, found[1])

    @staticmethod
    def _status(document: dict[str, Any], fields: dict[str, str] | None = None) -> web.Response:
        return web.json_response(document, status=document["code"], headers=fields)

    def _is_asked(self, item: dict[str, Any], request: web.Request, namespace: str) -> bool:
        key, _, value = request.query.get("labelSelector", "").partition("=")
        metadata = item["metadata"]
        return bool(metadata["namespace"] == namespace and (not key or metadata["labels"].get(key) == value))

    def _list(self, request: web.Request, namespace: str) -> web.Response:
        start, version = "", self.version
        if token := request.query.get("continue"):
            cursor = json.loads(base64.urlsafe_b64decode(token))
            start, version = cursor["start"], cursor["rv"]
            if version < self.oldest:
                return self._status(status(410, "Expired", "The provided continue parameter is too old"))
        items = [
            each for name, each in sorted(self.slices.items()) if name > start and self._is_asked(each, request, namespace)
        ]
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        limit = int(request.query.get("limit", "0"))
        if limit and len(items) > limit:
            metadata["remainingItemCount"] = len(items) - limit
            items = items[:limit]
            cursor = {"start": items[-1]["metadata"]["name"], "rv": version}
            metadata["continue"] = base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode()
        document = {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata, "items": items}
        return web.json_response(document)

    async def _watch(self, request: web.Request, namespace: str, fault: str) -> web.StreamResponse:
        version = int(request.query.get("resourceVersion") or "0")
        if version < self.oldest and fault != "410 event":
            return self._status(GONE)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if version < self.oldest or fault == "410 event":
            await self._say(response, "ERROR", GONE)
            return response
        if fault == "500 event":
            await self._say(response, "ERROR", status(500, "InternalError", "etcdserver: leader changed"))
            return response
        if fault == "cut event":
            await response.write(b'{"type": "ADDED", "object": {"met')
            return response
        if fault == "long event":
            for _ in range(10):
                await response.write(b"x" * 1024 * 1024)
        await self._follow(request, response, namespace, version)
        return response

    async def _follow(self, request: web.Request, response: web.StreamResponse, namespace: str, version: int) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + min(self.watch_s, float(request.query.get("timeoutSeconds", "1800")))
        while self.is_silent or loop.time() < ends_at:
            changed = self.changed
            if not self.is_silent:
                for number, kind, item in list(self.events):
                    if number > version and self._is_asked(item, request, namespace):
                        await self._say(response, kind, item)
                version = self.version
            if changed is not self.changed:
                continue
            try:
                await asyncio.wait_for(changed.wait(), 3600 if self.is_silent else min(ends_at - loop.time(), self.bookmark_s))
            except TimeoutError:
                if request.query.get("allowWatchBookmarks") == "true":
                    metadata = {"resourceVersion": str(self.version), "creationTimestamp": None}
                    await self._say(
                        response,
                        "BOOKMARK",
                        {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata},
                    )
            if self._runner is None:
                return

    async def _say(self, response: web.StreamResponse, kind: str, item: dict[str, Any]) -> None:
        line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
        size = self.piece or len(line)
        for at in range(0, len(line), size):
            await response.write(line[at : at + size])
