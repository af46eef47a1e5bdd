"""The OpenAPI 3.1 document of the admin API, generated from its endpoint table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from balance.admin.access.gate import Access
from balance.admin.endpoints import Endpoint
from balance.admin.openapi.statuses import statuses
from balance.version import VERSION

_DESCRIPTION = (
    "A request that says nothing that could be done gets 400, an order that is understood and refused 409; nothing gets 422. "
    "Errors are JSON with `error`, in one sentence. Bodies are read as what is asked for, whatever Content-Type they have."
)
_SCHEME = (
    "One of admin.auth.tokens, which may change, or of read_only_tokens, which may read. Where none is configured, whoever "
    "reaches a loopback address or a Unix socket may do all."
)
_ERROR: dict[str, Any] = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_PROBE: dict[str, Any] = {
    "type": "object",
    "properties": {"status": {"type": "string"}, "reasons": {"type": "array", "items": {"type": "string"}}},
    "required": ["status"],
}
_IN_PATH = {
    "name": "A backend's name, or pool/name.",
    "route": "A route's name.",
    "pool": "A pool's name.",
    "file": "The path of a file of the page.",
}


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Balance admin API", "version": VERSION, "description": _DESCRIPTION},
        "security": [{"token": []}, {}],  # {}: none where none is configured
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _SCHEME}},
            "schemas": {"Error": _ERROR, "Probe": _PROBE},
        },
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint, path),
        "summary": endpoint.summary,
        "responses": {status: _response(endpoint, status, text) for status, text in statuses(endpoint, path).items()},
    }
    parameters = [_parameter("path", name, {"description": _IN_PATH[name]}) for name in re.findall(r"\{(\w+)\}", path)]
    parameters += [_parameter("query", name, said) for name, said in endpoint.query.items()]
    if endpoint.version_of:
        parameters.append(_if_match(endpoint.version_of))
    if endpoint.access is Access.OPEN:
        operation["security"] = []
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": {endpoint.media_type: {"schema": endpoint.body}},
        }
    return operation


def _response(endpoint: Endpoint, status: str, text: str) -> dict[str, Any]:
    if endpoint.is_probe and status in ("200", "503"):
        content: dict[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Probe"}}}
    elif status == "200":
        content = {
            media_type: {"schema": {"type": "object"}} if media_type == "application/json" else {}
            for media_type in endpoint.produces
        }
    else:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": text, "content": content}


def _if_match(version_of: str) -> dict[str, Any]:
    text = f"The version that the order is for, in quotes: {version_of} in /dashboard/state. 409 when somebody was faster."
    return _parameter("header", "If-Match", {"description": text})


def _operation_id(endpoint: Endpoint, path: str) -> str:
    words = re.sub(r"[^a-z]+", "_", path.lower()).strip("_")
    return f"{endpoint.method.lower()}_{words}"


def _parameter(place: str, name: str, said: str | dict[str, Any]) -> dict[str, Any]:
    fragment = {"description": said} if isinstance(said, str) else said
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}} | fragment
