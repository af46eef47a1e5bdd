"""The endpoints that change something: reload, backends, restart, upgrade, drain.

Control and the supervisor decide; each order is logged once, with its client and its result.
"""

from __future__ import annotations

import json
import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from balance.admin.access.audit import note
from balance.admin.backend_orders import find_named_backend, read_new_backend
from balance.admin.backends import state_word
from balance.admin.dashboard.conditions import check_version
from balance.admin.dashboard.preview import backend_preview, reload_preview, removal_preview, switch_preview, weight_warnings
from balance.admin.dashboard.state.backends import version
from balance.admin.json_reply import order_result_document, order_result_reply, reply
from balance.admin.order_parsing import (
    describe_order,
    find_backend,
    find_switch,
    read_body,
    read_dry_run,
    read_object,
    read_reload,
    read_state,
    read_switch,
)
from balance.admin.state_view import BackendView, StateView
from balance.admin.supervisor_orders import ChangeBackends, Order, OrderResult, Reload, Restart, Stop, Upgrade
from balance.config.overrides.route_switch import RouteSwitch
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.config.reading.document import MAX_TEXT_BYTES
from balance.errors import BalanceError
from balance.health.readiness import accepts_new
from balance.health.states import Event, State

log = logging.getLogger("balance.admin")

STATES = {Event.DRAIN: State.DRAINING, Event.MAINTAIN: State.MAINTENANCE, Event.ENABLE: State.UNKNOWN}
CHANGES = 'write {"state": "drain"}, "maintenance" or "enable", or what shall be otherwise, like {"weight": 3}'


class Actions:
    """Handlers over one StateView."""

    def __init__(self, view: StateView) -> None:
        self._view = view

    async def reload(self, request: Request) -> Response:
        """Reload the configuration, or roll back."""
        order = read_reload(await read_body(request), is_dry_run=read_dry_run(request))
        generation = self._view.board.generation
        check_version(request, "the configuration", str(generation), f"generation {generation} is served")
        order_result = await self._submit_and_log(request, order)
        return order_result_reply(order_result, **({"preview": reload_preview(order_result)} if order.dry_run else {}))

    async def diff(self, request: Request) -> Response:
        """What a reload with the configuration in the body would change, or its errors."""
        try:
            text = (await read_body(request, MAX_TEXT_BYTES)).decode()
        except UnicodeDecodeError:
            raise HTTPException(400, "the body is not UTF-8 text; send a configuration") from None
        if not text.strip():
            raise HTTPException(400, "the body is empty; send a configuration")
        order_result = await self._submit(Reload(text=text, dry_run=True))
        note(request, "diff", order_result.summary if order_result.is_done else f"{len(order_result.problems)} problems")
        return order_result_reply(order_result, source=self._view.config.source)

    async def add(self, request: Request) -> Response:
        """Add a backend."""
        change = read_new_backend(await read_body(request))
        order_result = await self._submit_and_log(request, ChangeBackends((change,), read_dry_run(request)))
        return order_result_reply(order_result, name=change.name)

    async def remove(self, request: Request) -> Response:
        """Remove a backend; requests in flight may end."""
        return await self._remove(request, find_backend(self._view, request.path_params["name"]))

    async def remove_named(self, request: Request) -> Response:
        """The same of one that the query or the body names."""
        return await self._remove(request, await find_named_backend(self._view, request))

    async def _remove(self, request: Request, backend_view: BackendView) -> Response:
        change = BackendChange(Verb.REMOVE, backend_view.pool.name, backend_view.backend.name)
        is_dry_run = read_dry_run(request)
        preview = removal_preview(self._view, backend_view) if is_dry_run else ""
        _check_backend(request, backend_view)
        warnings = self._warnings(backend_view, is_removed=True)
        order_result = await self._submit_and_log(request, ChangeBackends((change,), is_dry_run))
        if order_result.is_done and not is_dry_run:
            self._warn(warnings)
        more = {"preview": preview} if is_dry_run and order_result.is_done else {}
        return order_result_reply(order_result, warnings=warnings if order_result.is_done else [], **more)

    async def change(self, request: Request) -> Response:
        """Change a backend, drain it, set maintenance, or enable it."""
        backend_view = find_backend(self._view, request.path_params["name"])
        pool, name = backend_view.pool.name, backend_view.backend.name
        values = read_object(await read_body(request, allowed=CHANGES), CHANGES)
        event = read_state(values, CHANGES)
        is_dry_run = read_dry_run(request)
        if not values and event is None:
            raise HTTPException(400, f"the body is no order; {CHANGES}")
        _check_backend(request, find_backend(self._view, f"{pool}/{name}"))  # as it is now, after the body
        document: dict[str, object] = {"pool": pool, "name": name}
        if is_dry_run:
            document["preview"] = backend_preview(self._view, backend_view, event, values.get("weight"))
        warnings = self._warnings(backend_view, event, values.get("weight"))
        hints = weight_warnings(backend_view, values.get("weight"))  # of no interest but to who orders
        if values:
            change = BackendChange(Verb.SET, pool, name, json.dumps(values))
            order_result = await self._submit_and_log(request, ChangeBackends((change,), is_dry_run))
            if not order_result.is_done:
                return order_result_reply(order_result, **document)
            document |= order_result_document(order_result)
        backend_view = find_backend(self._view, f"{pool}/{name}")  # with a new address it is a new backend
        if event is not None and not is_dry_run:
            self._view.apply_admin_event(backend_view.slot, event, "ordered on the admin port")
            note(request, f"{event.name.lower()} backend {pool}/{name}", "done")
        if not is_dry_run:
            self._warn(warnings)
        return reply(document | {"state": state_word(find_backend(self._view, f"{pool}/{name}")), "warnings": warnings + hints})

    async def switch(self, request: Request) -> Response:
        """Switch a blue-green route to its other side."""
        name = request.path_params["route"]
        order = read_switch(await read_body(request))
        is_dry_run = read_dry_run(request)
        listener, sides = find_switch(self._view, name, order.listener)
        check_version(request, f"route {name}", sides.active, f"it leads to {sides.active}")
        side = order.side or ("blue" if sides.active == "green" else "green")
        pool = sides.green if side == "green" else sides.blue
        if not order.force and not self._takes_new(pool):
            problem = (
                f"pool {pool} has no backend that is ready, so route {name} is not switched to {side}; "
                'to do it all the same: balance switch --force, or "force": true'
            )
            refused = OrderResult(False, self._view.board.generation, problems=(problem,), summary="nothing changed")
            note(request, f"switch route {name} to {side}", f"refused: {problem}")
            return order_result_reply(refused)
        preview = switch_preview(self._view, name, side, sides)
        change = RouteSwitch(listener, name, side)
        order_result = await self._submit_and_log(request, ChangeBackends((change,), is_dry_run))
        if order_result.is_done and not is_dry_run and side != sides.active:
            log.info("route %s is switched to %s (pool %s)", name, side, pool)
            self._view.events.publish("switch", f"route {name} switched to {side}", route=name, side=side, pool=pool)
        more = {"preview": preview} if is_dry_run and order_result.is_done else {}
        return order_result_reply(order_result, route=name, active=side, pool=pool, **more)

    def _takes_new(self, pool: str) -> bool:
        """Whether new requests can be served by that pool."""
        return accepts_new(each.state for each in self._view.backends() if each.pool.name == pool and each.backend.weight)

    def _warnings(
        self, about: BackendView, event: Event | None = None, weight: object = None, *, is_removed: bool = False
    ) -> list[str]:
        """Warns that the order leaves the pool without a backend for new requests."""
        before, after = [], []
        for backend_view in self._view.backends():
            if backend_view.pool.name != about.pool.name:
                continue
            state, has_weight = backend_view.state, backend_view.backend.weight > 0
            if has_weight:
                before.append(state)
            if backend_view.slot == about.slot:
                if is_removed:
                    continue
                state = STATES.get(event, state) if event is not None else state
                has_weight = has_weight if weight is None else weight != 0
            if has_weight:
                after.append(state)
        if not accepts_new(before) or accepts_new(after):
            return []
        pool, name = about.pool.name, about.backend.name
        return [
            f"backend {pool}/{name} was the last of its pool that is ready: whatever is new there is refused now (no_healthy)"
        ]

    def _warn(self, warnings: list[str]) -> None:
        for text in warnings:
            log.warning("%s", text)
            self._view.events.publish("warning", text)

    async def drain(self, request: Request) -> Response:
        """Drain and stop the whole instance, as SIGTERM does."""
        return order_result_reply(await self._submit_and_log(request, Stop()))

    async def restart(self, request: Request) -> Response:
        """Rolling restart of the workers."""
        return order_result_reply(await self._submit_and_log(request, Restart()))

    async def upgrade(self, request: Request) -> Response:
        """Upgrade to the installed version."""
        return order_result_reply(await self._submit_and_log(request, Upgrade()))

    async def _submit_and_log(self, request: Request, order: Order) -> OrderResult:
        order_result = await self._submit(order)
        is_dry = isinstance(order, (Reload, ChangeBackends)) and order.dry_run
        outcome = "done" if order_result.is_done else f"refused: {'; '.join(order_result.problems) or order_result.summary}"
        summary = f", {order_result.summary}" if order_result.is_done and order_result.summary else ""
        note(request, describe_order(order), f"{'would be ' if is_dry else ''}{outcome}{summary}")
        return order_result

    async def _submit(self, order: Order) -> OrderResult:
        try:
            return await self._view.submit_order(order)
        except (BalanceError, OSError) as error:  # TimeoutError is an OSError
            raise HTTPException(503, f"the supervisor does not answer: {error or type(error).__name__}") from error


def _check_backend(request: Request, backend_view: BackendView) -> None:
    """HTTPException 409 when the order was for another state of the backend."""
    backend = backend_view.backend
    now = f"weight {backend.weight}, {state_word(backend_view)}"
    name = f"backend {backend_view.pool.name}/{backend.name}"
    check_version(request, name, version(backend, backend_view.state), now)
