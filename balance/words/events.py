"""Every kind of event: what it tells, and where to look on."""

from __future__ import annotations

from typing import Final, NamedTuple


class EventKind(NamedTuple):
    """`fields` are its own beside `at`, `kind` and `text`."""

    meaning: str
    fields: str
    look: str


EVENTS: Final[dict[str, EventKind]] = {
    "backend": EventKind(
        "a backend is ready, out, drained ..., and why", "`pool`, `name`, `before`, `after`, `why`", "`balance backends`"
    ),
    "breaker": EventKind(
        "a circuit breaker opened, is tried or closed, and by which evidence",
        "`pool`, `name`, `state`, `why`, `opened`",
        "`balance backends`; the access log of that minute: `why` of the lines with that backend",
    ),
    "reload": EventKind(
        "a configuration is served, was refused or changed nothing",
        "`result`; of a success `generation`, `origin`, `summary`",
        "`balance generations`; refused: the log names file, line and column",
    ),
    "discovery": EventKind(
        "the discovery of a pool has another standing, or another set is served (at most one event in ten seconds, summed up)",
        "`pool`, `state`, `why`; of a set `endpoints`, `added`, `removed`, `changed`",
        "`balance status`; the source that is named there",
    ),
    "autoscaler": EventKind(
        "the size of a pool was changed, would be (dry run), or is held, and why",
        "`pool`, `action`; of a change `current`, `desired`, `reason`",
        "`balance autoscaler`",
    ),
    "order": EventKind(
        "an order came over the admin port, whose and what became of it", "`peer`, `who`", "`balance generations`"
    ),
    "switch": EventKind("a blue-green route goes to its other side", "`route`, `side`, `pool`", "`balance routes`"),
    "warning": EventKind("an order was done that leaves a pool with nobody, or blocks who orders", "", "`balance backends`"),
    "worker": EventKind("workers died or were replaced", "`restarts`", "the log: by which signal, or by whose order"),
    "control": EventKind("the control process was replaced; the history before is in the log", "`restarts`", "the log"),
    "stage": EventKind(
        "the instance is starting, serving, draining or has ended", "`stage`; at the end `cut`", "`balance status`"
    ),
}
