"""Clients' connections: accepted, refused, waiting, and the bytes that they brought and took."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, Definition

CONNECTIONS: Final = Definition(
    "balance_connections_total", COUNTER, (), "Client connections accepted.",
    "About as many as requests: clients do not keep connections.",
)  # fmt: skip
OPEN: Final = Definition(
    "balance_active_connections", GAUGE, (), "Client connections open.",
    "Compare balance_clients_limit.",
)  # fmt: skip
LIMIT: Final = Definition(
    "balance_clients_limit",
    GAUGE,
    (),
    "As many client connections as there may be: what the listeners' max_clients allow together, or the descriptors of all "
    "workers, with one for a backend each; the smaller.",
    "Raise max_clients or the limit of descriptors (LimitNOFILE) before balance_active_connections is there.",
    "unless neither is limited",
)
ACTIVE: Final = Definition(
    "balance_active_requests", GAUGE, (), "HTTP requests and TCP connections being served.",
    "Rising at the same rate of requests: backends are slower.",
)  # fmt: skip
CUT: Final = Definition(
    "balance_connections_cut_total", COUNTER, (), "Requests and connections that the end of a drain has cut.",
    "timeouts.drain or shutdown.restart_drain is shorter than requests take.",
)  # fmt: skip
LOST: Final = Definition(
    "balance_connections_lost_total", COUNTER, (), "Client connections that workers held when they died.",
    "A worker died: the log says how.",
)  # fmt: skip
BYTES: Final = Definition(
    "balance_bytes_total", COUNTER, ("direction",), "Bytes exchanged with clients: in from them, out to them.",
    "The machine's network is the bound.",
)  # fmt: skip
PAUSES: Final = Definition(
    "balance_accept_pauses_total",
    COUNTER,
    ("reason",),
    "Times that a listening socket's callers had to wait in its backlog.",
    "descriptors: raise LimitNOFILE; max_clients: raise it, or find out who has so many.",
)
PAUSED: Final = Definition(
    "balance_accept_paused", GAUGE, (), "Listening sockets whose callers wait now.",
    "Not 0 for long: as above.",
)  # fmt: skip
RECLAIMED: Final = Definition(
    "balance_idle_clients_closed_total", COUNTER, (), "Idle clients closed to make room for others.",
    "Near the limit of clients.",
)  # fmt: skip
LISTENER_OPEN: Final = Definition(
    "balance_listener_connections", GAUGE, ("listener",), "Client connections open.",
    "Compare balance_listener_max_clients.",
)  # fmt: skip
LISTENER_LIMIT: Final = Definition(
    "balance_listener_max_clients", GAUGE, ("listener",), "As many client connections as there may be.",
    "Raise max_clients.", "where the listener has max_clients",
)  # fmt: skip
REFUSED: Final = Definition(
    "balance_connections_refused_total",
    COUNTER,
    ("listener", "reason"),
    "Connections that were reset when they were accepted.",
    "blocked: access lists; connections, rate: connection_guard; proxy_header: who speaks to this listener sends none.",
)

DEFINITIONS: Final = (
    CONNECTIONS, OPEN, LIMIT, ACTIVE, CUT, LOST, BYTES, PAUSES, PAUSED, RECLAIMED, LISTENER_OPEN, LISTENER_LIMIT, REFUSED,
)  # fmt: skip
