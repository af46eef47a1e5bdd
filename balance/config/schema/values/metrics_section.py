"""`metrics`: where figures are read, and what is shown."""

from __future__ import annotations

from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.addresses import LISTEN
from balance.config.schema.scalars import Scalar, display
from balance.config.schema.section import Flag, Section, key, one_or_list
from balance.config.schema.units import DURATION_PATTERN, duration_s
from balance.model import Address

ALIASES = ("loadbalancer", "go_balancer")
SHORTEST_S, LONGEST_S = 0.000_01, 86400.0


def _alias(value: object) -> str:
    if value not in ALIASES:
        raise ValueError(f"{display(value)} is none of the names that metrics may go by as well: {', '.join(ALIASES)}")
    return str(value)


def _bound(value: object) -> float:
    """Seconds, as Prometheus writes them, or a duration."""
    if isinstance(value, float):
        seconds = value
    else:
        try:
            seconds = duration_s(value)
        except ValueError:
            raise ValueError(f"{display(value)} is no bound of a bucket: seconds like 0.25, or a duration like 250ms") from None
    if not SHORTEST_S <= seconds <= LONGEST_S:  # false for nan too
        raise ValueError(f"{display(value)} is not in {SHORTEST_S * 1e6:g} us..{LONGEST_S:g} s")
    return round(seconds, 6)


ALIAS = Scalar(_alias, {"type": "string", "enum": list(ALIASES)})
_ALIASES = one_or_list(ALIAS)
Aliases = Annotated[list[Annotated[str, ALIAS]], _ALIASES[0], _ALIASES[1]]
_BUCKET = Scalar(
    _bound, {"anyOf": [{"type": "number", "minimum": SHORTEST_S}, {"type": "string", "pattern": DURATION_PATTERN}]}
)
HISTOGRAMS = kind.choice("auto", "backend", "pool", "off")


class MetricsSection(Section):
    """Figures for Prometheus."""

    section_name = "metrics"
    enabled: Flag = key("Whether they are kept and shown.", True)
    listen: Annotated[Address, LISTEN] = key(
        "An address of their own, with /health and /ready, for scrapers and probes elsewhere. Default: the admin port."
    )
    path: Annotated[str, kind.URL_PATH] = key("Where they are read.", "/metrics")
    buckets: list[Annotated[float, _BUCKET]] = key(
        "The upper bounds of the histograms of times in seconds, rising, at most 14. Others need `balance upgrade` or a "
        "restart, with which all counters begin anew.",
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
    )
    backend_histograms: Annotated[str, HISTOGRAMS] = key(
        "Histograms of times per backend, per pool, or one for all; auto: per backend up to 200 backends, else per pool.",
        "auto",
    )
    aliases: Aliases = key(
        "Names of other balancers under which some figures are shown as well: loadbalancer, go_balancer.", []
    )
