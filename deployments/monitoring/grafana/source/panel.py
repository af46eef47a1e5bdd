"""What a panel of the dashboard is, before it is Grafana's JSON. Where it goes is dashboard_json.py's business."""

from __future__ import annotations

from dataclasses import dataclass

# Every variable may be All, several values or one: they are regular expressions in each query.
INSTANCE = 'instance=~"$instance"'
POOL = f'{INSTANCE},pool=~"$pool"'
BACKEND = f'{POOL},backend=~"$backend"'
RATE = "[$__rate_interval]"  # at least four scrapes long, whatever the scrape interval is


@dataclass(frozen=True)
class Panel:
    """One panel; each query is (expression, legend)."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"  # stat, state-timeline, table
    width: int = 8  # of 24
    is_stacked: bool = False
    thresholds: tuple[tuple[float | None, str], ...] = ()  # (from, colour)
    values: tuple[tuple[int, str, str], ...] = ()  # (value, what it is called, colour)
    columns: tuple[tuple[str, str], ...] = ()  # of a table: the title and unit of each query
    hidden: tuple[str, ...] = ()  # of a table


@dataclass(frozen=True)
class Row:
    """Panels under a heading; a closed one is queried when it is opened."""

    title: str
    panels: tuple[Panel, ...]
    is_closed: bool = False


def named(query: str, label: str, empty: str) -> str:
    """The query, with a name where that label is empty."""
    return f'label_replace({query}, "{label}", "{empty}", "{label}", "")'


def quantile(of: str, family: str, selector: str, *by: str) -> str:
    """A percentile, from as few series as `by` asks for; nothing, rather than NaN, without traffic."""
    return f"histogram_quantile({of}, sum by ({', '.join((*by, 'le'))}) (rate({family}_bucket{{{selector}}}{RATE}))) >= 0"


def ratio(part: str, whole: str) -> str:
    """A share; nothing, rather than NaN, without traffic."""
    return f"{part} / ({whole} > 0)"


def rate(name: str, selector: str, *by: str) -> str:
    """The sum of rates, by labels."""
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouping} (rate({name}{{{selector}}}{RATE}))"
