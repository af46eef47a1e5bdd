"""The OpenAPI 3.1 document of the admin API, generated from its endpoint table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from balance.admin.access.gate import Access
from balance.admin.endpoints import Endpoint
from balance.version import VERSION


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Balance admin API", "version": VERSION},
        "security": [{"token": []}, {}],  # {}: none where none is configured
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _SCHEME}}},
    }


_SCHEME = (
    "One of admin.auth.tokens, which may change, or of read_only_tokens, which may read. Where none is configured, whoever "
    "reaches a loopback address or a Unix socket may do all."
)


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    statuses = {"200": "Done." if endpoint.access is Access.WRITE else "As asked."}
    if path in _PROBE_PATHS:
        statuses["503"] = "No; the reasons are in the body."
    if endpoint.access is not Access.OPEN:
        statuses["400"] = "The request says nothing that could be done."
        statuses["401"] = "It needs a token, or another one; `WWW-Authenticate` says which."
        statuses["403"] = "The token may read alone, a page of others asks, or there are no tokens and this is another machine."
        statuses["429"] = "Too many wrong tokens from there; `Retry-After` says how long."
    if endpoint.body is not None or endpoint.query:
        statuses["400"] = "The request says nothing that could be done."
    if "{" in path or "generation" in endpoint.query:
        statuses["404"] = "There is no such one."
    if endpoint.can_be_refused:
        statuses["409"] = "Refused, nothing changed; `problems` in the body says why."
        statuses["503"] = "The supervisor does not answer."
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint, path),
        "summary": endpoint.summary,
        "responses": {status: {"description": text} for status, text in statuses.items()},
    }
    parameters = [_parameter("path", name, _IN_PATH[name]) for name in re.findall(r"\{(\w+)\}", path)]
    parameters += [_parameter("query", name, text) for name, text in endpoint.query.items()]
    if endpoint.version_of:
        operation["parameters"] = parameters = [*parameters, _if_match(endpoint.version_of)]
    if endpoint.access is Access.OPEN:
        operation["security"] = []
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = {"content": {endpoint.media_type: {"schema": endpoint.body}}}
    return operation


_IN_PATH = {"name": "A backend's name, or pool/name.", "route": "A route's name.", "file": "The path of a file of the page."}
_PROBE_PATHS = frozenset(["/health", "/healthz", "/livez", "/liveness", "/ready", "/readyz", "/readiness", "/events"])


def _if_match(version_of: str) -> dict[str, Any]:
    text = f"The version that the order is for, in quotes: {version_of} in /dashboard/state. 409 when somebody was faster."
    return _parameter("header", "If-Match", text)


def _operation_id(endpoint: Endpoint, path: str) -> str:
    words = re.sub(r"[^a-z]+", "_", path.lower()).strip("_")
    return f"{endpoint.method.lower()}_{words}"


def _parameter(place: str, name: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": text,
        "schema": {"type": "string"},
    }
