"""What an order will do, in sentences for whoever is about to give it; told by a dry run."""

from __future__ import annotations

from balance.admin.dashboard.state.backends import UNWEIGHTED
from balance.admin.state_view import BackendView, StateView
from balance.admin.supervisor_orders import OrderResult
from balance.config.route_model import BlueGreen
from balance.health.states import Event
from balance.runtime import counters


def backend_preview(view: StateView, about: BackendView, event: Event | None, weight: object = None) -> str:
    """Of an order for one backend."""
    pool, name = about.pool.name, about.backend.name
    others = [
        each
        for each in view.backends()
        if each.pool.name == pool and each.slot != about.slot and each.backend.weight and each.state.is_ready
    ]
    active = sum(row[counters.block(about.slot) + counters.ACTIVE] for row in view.board.rows)
    left = _left(len(others), len(about.pool.backends), pool)
    sentences = []
    match event:
        case Event.DRAIN:
            sentences += [f"Nothing new goes to {pool}/{name}{_under_way(active)}.", left]
        case Event.MAINTAIN:
            sentences += [f"Nothing goes to {pool}/{name} any more{_under_way(active)}; its sessions move on.", left]
        case Event.ENABLE if about.pool.health_check.enabled:
            sentences.append(f"{pool}/{name} is checked at once, and gets its share again if that goes well.")
        case Event.ENABLE:
            sentences.append(f"{pool}/{name} gets its share again at once.")
    if weight == 0 and event is None:
        sentences += [f"Nothing new but its sessions goes to {pool}/{name}{_under_way(active)}.", left]
    elif isinstance(weight, int) and weight and about.pool.algorithm in UNWEIGHTED:
        sentences.append(f"{about.pool.algorithm} goes by no weight, so that the shares stay as they are.")
    elif isinstance(weight, int) and weight:
        rest = sum(each.backend.weight for each in others if not each.backend.backup)
        due = weight / (rest + weight)
        sentences.append(f"{pool}/{name} is due {due:.0%} of its pool's new requests, while what is ready now stays so.")
    return " ".join(sentences)


def weight_warnings(about: BackendView, weight: object) -> list[str]:
    """Of a weight that changes no share."""
    others = {each.weight for each in about.pool.backends if each.name != about.backend.name} - {0, weight}
    if not (isinstance(weight, int) and weight > 0 and others and about.pool.algorithm in UNWEIGHTED):
        return []
    return [
        f"{about.pool.algorithm} looks at no weight but 0: the shares stay as they are; "
        f"weighted-{about.pool.algorithm} goes by weights"
    ]


def removal_preview(view: StateView, about: BackendView) -> str:
    """Of taking a backend away."""
    return f"{backend_preview(view, about, Event.DRAIN)} Then it is gone until it is added again."


def switch_preview(view: StateView, route: str, side: str, sides: BlueGreen) -> str:
    """Of a switch to a side."""
    pool = sides.green if side == "green" else sides.blue
    if side == sides.active:
        return f"Route {route} leads to {side} (pool {pool}) already; nothing changes."
    members = [each for each in view.backends() if each.pool.name == pool]
    ready = sum(each.state.is_ready and each.backend.weight > 0 for each in members)
    return (
        f"New requests of route {route} go to {side} (pool {pool}, {ready} of {len(members)} backends ready) at once; "
        "those under way end where they are."
    )


def reload_preview(order_result: OrderResult) -> str:
    """Of a reload, from its dry run."""
    if not order_result.is_done:
        return ""
    if not order_result.lines:
        return "The file says what is served already; nothing changes."
    count = len(order_result.lines)
    return (
        f"{count} thing{'s' * (count != 1)} will change: {order_result.summary}. "
        "Connections and requests under way go on by what they began with."
    )


def _under_way(active: int) -> str:
    if not active:
        return ", where nothing is under way"
    return f"; {active} under way there {'is' if active == 1 else 'are'} let finish"


def _left(ready: int, count: int, pool: str) -> str:
    if ready:
        return f"{ready} of {count} backends of pool {pool} stay and take its requests."
    return f"No other backend of pool {pool} is ready: its new requests are refused."
