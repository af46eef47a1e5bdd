"""The side doors described for machines (OpenAPI 3.1), written from the table that they are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from balance.side.doors import Access, Door
from balance.version import VERSION


def openapi(doors: Sequence[Door]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for door in doors:
        for path in (door.path, *door.aliases):
            paths.setdefault(path, {})[door.method.lower()] = _operation(door, path)
    return {"openapi": "3.1.0", "info": {"title": "Balance admin API", "version": VERSION}, "paths": paths}


def _operation(door: Door, path: str) -> dict[str, Any]:
    statuses = {"200": "Done." if door.access is Access.ORDER else "As asked."}
    if path in _WELL_OR_NOT:
        statuses["503"] = "No; the reasons are in the body."
    if door.access is not Access.ANYWHERE:
        statuses["403"] = "For this machine only."
    if door.body is not None or door.query:
        statuses["400"] = "The request says nothing that could be done."
    if "{name}" in path or "generation" in door.query:
        statuses["404"] = "There is no such one."
    if door.can_be_refused:
        statuses["409"] = "Refused, nothing changed; `problems` in the body says why."
    operation: dict[str, Any] = {
        "operationId": _operation_id(door, path),
        "summary": door.does,
        "responses": {status: {"description": text} for status, text in statuses.items()},
    }
    parameters = [_parameter("path", name, "A backend's name, or pool/name.") for name in re.findall(r"\{(\w+)\}", path)]
    parameters += [_parameter("query", name, text) for name, text in door.query.items()]
    if parameters:
        operation["parameters"] = parameters
    if door.body is not None:
        operation["requestBody"] = {"content": {door.media_type: {"schema": door.body}}}
    return operation


_WELL_OR_NOT = frozenset(["/health", "/healthz", "/livez", "/liveness", "/ready", "/readyz", "/readiness", "/events"])


def _operation_id(door: Door, path: str) -> str:
    words = re.sub(r"[^a-z]+", "_", path.lower()).strip("_")
    return f"{door.method.lower()}_{words}"


def _parameter(place: str, name: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": text,
        "schema": {"type": "string"},
    }
