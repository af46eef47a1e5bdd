"""Every metric, by what it is about. Documentation is made from this table; a scrape shows nothing that is not in it."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import Definition
from balance.admin.metrics.definitions import (
    aliases,
    autoscaler,
    backends,
    connections,
    discovery,
    program,
    redis,
    requests,
    routes,
    tls,
    tracing,
)

SECTIONS: Final[tuple[tuple[str, tuple[Definition, ...]], ...]] = (
    ("Requests", requests.DEFINITIONS),
    ("Backends and pools", backends.DEFINITIONS),
    ("Discovery", discovery.DEFINITIONS),
    ("Autoscalers", autoscaler.DEFINITIONS),
    ("Routes", routes.DEFINITIONS),
    ("Connections of clients", connections.DEFINITIONS),
    ("TLS and keys", tls.DEFINITIONS),
    ("Redis", redis.DEFINITIONS),
    ("Traces", tracing.DEFINITIONS),
    ("The program", program.DEFINITIONS),
    ("Names of other balancers", aliases.DEFINITIONS),
)
CATALOG: Final = tuple(definition for _, definitions in SECTIONS for definition in definitions)
