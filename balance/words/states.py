"""Every state of a backend, as `balance backends`, `balance top` and the dashboard name it."""

from __future__ import annotations

from typing import Final, NamedTuple


class StateWord(NamedTuple):
    """`change` is what ends the state, or what to do about it."""

    meaning: str
    change: str


STATES: Final[dict[str, StateWord]] = {
    "unknown": StateWord("not checked yet; it is used like a healthy one", "nothing: the first checks decide"),
    "unchecked": StateWord(
        "it has no health checks and is used like a healthy one",
        "`health_check.enabled` of its pool; passive checks judge it meanwhile",
    ),
    "healthy": StateWord("its checks pass", "nothing"),
    "unhealthy": StateWord(
        "its health checks fail, and it gets no requests",
        "what its last check says: `balance backends`; it is back when `healthy_threshold` checks in a row pass",
    ),
    "ejected": StateWord(
        "its traffic failed too often, and it gets no requests for a time",
        "its log, and `errors_by_why` of `/dashboard/state`, which name the failures; `balance enable NAME` ends it early",
    ),
    "returning": StateWord(
        "the time of its ejection is over, and it gets one trial request at a time",
        "nothing: good trials bring it back, a bad one ejects it for longer",
    ),
    "draining": StateWord(
        "an operator drains it: no new requests, those under way and its sessions go on", "`balance enable NAME`"
    ),
    "maintenance": StateWord("an operator has taken it out; it is not used at all", "`balance enable NAME`"),
}
