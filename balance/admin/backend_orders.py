"""Orders that bring a backend or name one, also as scripts of small balancers say it: by `url`, and without a name."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from balance.admin.order_parsing import find_backend, read_body, read_object
from balance.admin.state_view import BackendView, StateView
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.model import Address

_NEW = 'write {"name": "app-3", "address": "127.0.0.1:9003"}, and "pool" where there are several'
_NAMED = 'say which: DELETE /backends/NAME, or ?url=http://127.0.0.1:9003, ?address=, ?name=, or {"url": ...}, and "pool"'
_SCHEMES = ("http://", "https://")


def read_new_backend(body: bytes) -> BackendChange:
    """The backend to add. Without a name it is called as its address: the same one can't come twice."""
    values = read_object(body, _NEW)
    _take_url(values, _NEW)
    address = values.get("address")
    name, pool = values.pop("name", _bare(address) if isinstance(address, str) else None), values.pop("pool", "")
    if not isinstance(name, str) or not name or not isinstance(pool, str):
        raise HTTPException(400, f"the new backend has no name; {_NEW}")
    return BackendChange(Verb.ADD, pool, name, json.dumps(values))


async def find_named_backend(view: StateView, request: Request) -> BackendView:
    """The backend that a request without its name in the path is for: in its query or body. HTTPException 400, 404 or 409."""
    body = await read_body(request, allowed=_NAMED)
    said: dict[str, Any] = read_object(body, _NAMED) if body.strip() else {}
    said |= {key: value for key, value in request.query_params.items() if key != "dry_run"}
    _take_url(said, _NAMED)
    pool, name, address = said.pop("pool", ""), said.pop("name", ""), said.pop("address", "")
    if said or not all(isinstance(each, str) for each in (pool, name, address)) or bool(name) == bool(address):
        raise HTTPException(400, f"the request does not name one backend; {_NAMED}")
    if name:
        return find_backend(view, f"{pool}/{name}" if pool else name)
    wanted = _normal(address)
    found = [each for each in view.backends() if _normal(str(each.backend.address)) == wanted and pool in ("", each.pool.name)]
    if not found:
        raise HTTPException(404, f"there is no backend at {address[:200]!r}")
    if len(found) > 1:
        names = " or ".join(f"{each.pool.name}/{each.backend.name}" for each in found)
        raise HTTPException(409, f"several backends are at {address[:200]!r}: delete {names} by its name")
    return found[0]


def _take_url(values: dict[str, Any], allowed: str) -> None:
    """`url` is `address`."""
    if "url" not in values:
        return
    if "address" in values:
        raise HTTPException(400, f"url and address are one and the same; {allowed}")
    values["address"] = values.pop("url")


def _bare(address: str) -> str:
    """An address without its scheme and the slash of an empty path."""
    for scheme in _SCHEMES:
        if address.lower().startswith(scheme):
            return address[len(scheme) :].removesuffix("/")
    return address


def _normal(address: str) -> str:
    """An address as those of a configuration are written, so that two spellings of one are the same."""
    bare = _bare(address.strip())
    try:
        return str(Address.parse(bare)).lower()
    except ValueError:
        return bare.lower()  # it is nobody's
