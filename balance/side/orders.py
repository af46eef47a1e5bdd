"""What an operator may say about a backend, and how it is read from a request. Obeyed by control, through the inside."""

from __future__ import annotations

import ipaddress
import json

from starlette.exceptions import HTTPException

from balance.health.states import Event
from balance.side.inside import Inside, Seen

# The body is {"state": <word>}. The words are the verbs of the command line and the states that they lead to.
WORDS = {
    "drain": Event.DRAIN,
    "draining": Event.DRAIN,
    "maintenance": Event.MAINTAIN,
    "enable": Event.ENABLE,
    "enabled": Event.ENABLE,
}
LIMIT_BYTES = 4096


def read_order(body: bytes) -> Event:
    """The order in a request's body. HTTPException when it is none."""
    allowed = 'write {"state": "drain"}, "maintenance" or "enable"'
    if len(body) > LIMIT_BYTES:
        raise HTTPException(413, f"the body is too large; {allowed}")
    try:
        order = json.loads(body)
    except ValueError:
        raise HTTPException(400, f"the body is not JSON; {allowed}") from None
    if not isinstance(order, dict) or order.keys() != {"state"}:
        raise HTTPException(400, f"the body is no order; {allowed}")
    word = order["state"]
    event = WORDS.get(word.lower()) if isinstance(word, str) else None
    if event is None:
        raise HTTPException(400, f"state {word!r} cannot be ordered; {allowed}")
    return event


def find(inside: Inside, name: str) -> Seen:
    """The backend of that name, or of `pool/name`. HTTPException when there is none, or more than one."""
    named = [seen for seen in inside.backends() if name in (seen.backend.name, f"{seen.pool.name}/{seen.backend.name}")]
    if not named:
        known = ", ".join(sorted({seen.backend.name for seen in inside.backends()})[:20])
        raise HTTPException(404, f"there is no backend {name!r}; there are {known}")
    if len(named) > 1:
        pools = " or ".join(f"{seen.pool.name}/{seen.backend.name}" for seen in named)
        raise HTTPException(409, f"several pools have a backend {name!r}; say {pools}")
    return named[0]


def is_own_host(host: str) -> bool:
    """Whether a Host field can be what a tool on this machine writes. A page in a browser that had its name point here (DNS
    rebinding) writes that name.
    """
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name.lower() in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
