"""Parses and validates the orders in admin requests."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from balance.admin.state_view import BackendView, StateView
from balance.admin.supervisor_orders import ChangeBackends, Order, Reload, Restart, Upgrade
from balance.config.overrides.route_switch import AT_TOP, RouteSwitch
from balance.config.overrides.runtime_overrides import RuntimeChange
from balance.config.route_model import BlueGreen
from balance.health.states import Event

# {"state": ...}: the command line's verbs, and the states that they lead to.
STATE_EVENTS = {
    "drain": Event.DRAIN,
    "draining": Event.DRAIN,
    "maintenance": Event.MAINTAIN,
    "enable": Event.ENABLE,
    "enabled": Event.ENABLE,
}
LIMIT_BYTES = 4096
BODY_TIMEOUT_S = 30.0
MAX_DEPTH = 10  # of the JSON; a backend's keys need two levels


async def read_body(request: Request, limit: int = LIMIT_BYTES, allowed: str = "") -> bytes:
    """The whole body. HTTPException 413 when it is larger than `limit`, 408 when it does not arrive in time, 415 when it is
    packed in a way that nothing here unpacks (RFC 9110 section 15.5.16).

    What Content-Type says else is not asked: `curl -d` calls every body a form.
    """
    coding = ",".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding not in ("", "identity"):
        raise HTTPException(415, f"the body is in coding {coding[:40]!r}; send it as it is", {"Accept-Encoding": "identity"})
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise HTTPException(415, "the body is a form of several parts; send it alone, with curl: -d, not -F")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    hint = f"; {allowed}" if allowed else ""
                    raise HTTPException(413, f"the body is larger than {limit} bytes{hint}")
    except TimeoutError:
        raise HTTPException(408, f"the body has not come within {BODY_TIMEOUT_S:g}s", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body broke off") from None
    return bytes(body)


def read_object(body: bytes, allowed: str) -> dict[str, Any]:
    """The JSON object in a body. HTTPException 400 with what is allowed."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, f"the body is not JSON; {allowed}") from None
    if not isinstance(document, dict) or _is_deeper(document, MAX_DEPTH):
        raise HTTPException(400, f"the body is no order; {allowed}")
    return document


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def read_state(order: dict[str, Any], allowed: str) -> Event | None:
    """Removes the state from a backend order. None when there is none."""
    if "state" not in order:
        return None
    word = order.pop("state")
    event = STATE_EVENTS.get(word.lower()) if isinstance(word, str) else None
    if event is None:
        raise HTTPException(400, f"state {word!r} cannot be ordered; {allowed}")
    return event


def read_reload(body: bytes, *, is_dry_run: bool) -> Reload:
    """A reload order; an empty body reads the file. `rollback` may be a generation's number."""
    allowed = 'write {"rollback": true, "discard_changes": true}, some of it or nothing, or a generation: {"rollback": 3}'
    order = read_object(body, allowed) if body.strip() else {}
    rollback, discard = order.pop("rollback", False), order.pop("discard_changes", False)
    if isinstance(rollback, float) and rollback.is_integer():
        rollback = int(rollback)  # to JSON 3.0 is a whole number
    if order or not isinstance(discard, bool) or not isinstance(rollback, int) or rollback < 0:
        raise HTTPException(400, f"the body is no order; {allowed}")
    to = 0 if isinstance(rollback, bool) else rollback
    return Reload(rollback=bool(rollback), to=to, discard_changes=discard, dry_run=is_dry_run)


def read_dry_run(request: Request) -> bool:
    """Whether ?dry_run is set."""
    return read_flag(request, "dry_run", "false")


def read_flag(request: Request, name: str, default: str) -> bool:
    """A parameter of the query that is true or false; without a value it is true."""
    text = request.query_params.get(name, default).lower()
    if text not in ("", "1", "0", "true", "false"):
        raise HTTPException(400, f"{name} is true or false, not {text[:40]!r}")
    return text in ("", "1", "true")


def find_backend(view: StateView, name: str) -> BackendView:
    """The backend named `name` or `pool/name`. HTTPException 404 without one, 409 with several."""
    named = [
        backend_view
        for backend_view in view.backends()
        if name in (backend_view.backend.name, f"{backend_view.pool.name}/{backend_view.backend.name}")
    ]
    if not named:
        known = ", ".join(sorted({backend_view.backend.name for backend_view in view.backends()})[:20])
        raise HTTPException(404, f"there is no backend {name!r}; there are {known}")
    if len(named) > 1:
        pools = " or ".join(f"{backend_view.pool.name}/{backend_view.backend.name}" for backend_view in named)
        raise HTTPException(409, f"several pools have a backend {name!r}; say {pools}")
    return named[0]


@dataclass(frozen=True, slots=True)
class SwitchOrder:
    """An order to switch a route: what its body says."""

    side: str = ""  # blue, green; "": the other one
    listener: str = ""
    force: bool = False


def read_switch(body: bytes) -> SwitchOrder:
    """A switch order; an empty body switches to the other side."""
    allowed = 'write {"to": "green"} or "blue" or nothing, and "listener": NAME where several have the route, "force": true'
    order = read_object(body, allowed) if body.strip() else {}
    side, listener, force = order.pop("to", ""), order.pop("listener", ""), order.pop("force", False)
    if order or side not in ("", "blue", "green") or not isinstance(listener, str) or not isinstance(force, bool):
        raise HTTPException(400, f"the body is no order; {allowed}")
    return SwitchOrder(side, listener, force)


def find_switch(view: StateView, name: str, listener: str) -> tuple[str, BlueGreen]:
    """The listener and the two sides of a route. HTTPException 404 without one, 409 with several or without sides.

    Listeners that take the list of routes at the top have the same route; for those any of them will do.
    """
    named = {
        each.name: route
        for each in view.config.listeners
        for route in each.http.routes
        if route.name == name and listener in ("", each.name)
    }
    if not named:
        known = sorted({route.name for each in view.config.listeners for route in each.http.routes if route.policy.blue_green})
        where = f" in listener {listener!r}" if listener else ""
        raise HTTPException(
            404, f"there is no route {name!r}{where}; those with policy.blue_green are {', '.join(known[:20]) or 'none'}"
        )
    if len({route.policy.blue_green for route in named.values()}) > 1:
        raise HTTPException(409, f'several listeners have a route {name!r}; say "listener": {" or ".join(named)}')
    first, route = next(iter(named.items()))
    if route.policy.blue_green is None:
        raise HTTPException(409, f"route {name!r} has no policy.blue_green, so there is nothing to switch")
    return listener or (first if len(named) == 1 else AT_TOP), route.policy.blue_green


def describe_order(order: Order) -> str:
    """An order as text for the log."""
    match order:
        case Reload():
            text = "reload"
            if order.rollback:
                text = f"go back to {f'configuration {order.to}' if order.to else 'the configuration before'}"
            return f"{text} without what was changed at run time" if order.discard_changes else text
        case ChangeBackends():
            return "; ".join(map(_describe_change, order.changes))
        case Restart():
            return "restart the workers"
        case Upgrade():
            return "upgrade the program"
        case _:
            return "drain and end"


def _describe_change(change: RuntimeChange) -> str:
    if isinstance(change, RouteSwitch):
        return f"switch route {change.name} to {change.active}"
    where = f"{change.pool}/{change.name}" if change.pool else change.name
    said = f" ({change.values_text})" if change.values_text else ""
    return f"{change.verb} backend {where}{said}"
