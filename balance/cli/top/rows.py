"""What of a state document stands in rows: one for each backend or pool, sorted and filtered. Knows no terminal.

A document is another program's: what is missing or of another kind than it should be is shown as unknown, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from balance.client.printable import printable


@dataclass(frozen=True, slots=True)
class BackendRow:
    """One backend."""

    key: str  # pool/name, as it is
    name: str  # the same for the eye
    state: str
    circuit: str  # "": it has none
    weight: float | None
    share: float | None
    due: float | None
    active: float | None
    rate: float | None
    p50_s: float | None
    p99_s: float | None
    errors: float | None
    is_out: bool
    reason: str  # why it is out, in one sentence
    whys: str  # errors by word
    last_why: str
    order: float
    version: str
    pool: str


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool."""

    key: str
    name: str
    algorithm: str
    ready: float | None
    backends: float | None
    active: float | None
    waiting: float | None
    rate: float | None
    p50_s: float | None
    p99_s: float | None
    errors: float | None
    reason: str
    order: float


LARGEST = 1e30
CIRCUITS = {"closed": "closed", "open": "OPEN", "half_open": "half", "half-open": "half"}


def number(document: Mapping[str, Any], key: str) -> float | None:
    """A number, or None."""
    value = document.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -LARGEST < value < LARGEST:
        return None  # NaN as well: it is not smaller than anything
    return value


def text(document: Mapping[str, Any], key: str) -> str:
    """A text that a terminal can be given."""
    value = document.get(key)
    return printable(value) if isinstance(value, str) else ""


def section(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, or an empty one."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def backend_rows(state: Mapping[str, Any], last_whys: Mapping[str, str]) -> list[BackendRow]:
    """A row for each backend, in the order of the configuration. `last_whys`: the word of its last error, by key."""
    found = []
    for key, each in section(state, "backends").items():
        if not isinstance(each, dict):
            continue
        whys = section(each, "errors_by_why")
        listed = sorted(((word, count) for word in whys if (count := number(whys, word))), key=lambda item: -item[1])
        version = each.get("version")
        found.append(
            BackendRow(
                key=key,
                name=printable(key),
                state=text(each, "state") or "?",
                circuit=CIRCUITS.get(text(section(each, "breaker"), "state"), ""),
                weight=number(each, "weight"),
                share=number(each, "share"),
                due=number(each, "due_share"),
                active=number(each, "active"),
                rate=number(each, "rate"),
                p50_s=number(each, "p50_seconds"),
                p99_s=number(each, "p99_seconds"),
                errors=number(each, "errors"),
                is_out=each.get("out") is True,
                reason=text(each, "reason") or (text(each, "why") if each.get("out") is True else ""),
                whys=", ".join(f"{printable(word)} {count:.0f}" for word, count in listed[:6]),
                last_why=printable(last_whys.get(key, "")),
                order=number(each, "order") or 0,
                version=str(version) if isinstance(version, (str, int)) else "",
                pool=each["pool"] if isinstance(each.get("pool"), str) else key.partition("/")[0],
            )
        )
    return sorted(found, key=lambda row: row.order)


def pool_rows(state: Mapping[str, Any]) -> list[PoolRow]:
    """A row for each pool, in the order of the configuration."""
    found = [
        PoolRow(
            key=key,
            name=printable(key),
            algorithm=text(each, "algorithm"),
            ready=number(each, "ready"),
            backends=number(each, "backends"),
            active=number(each, "active"),
            waiting=number(each, "waiting"),
            rate=number(each, "rate"),
            p50_s=number(each, "p50_seconds"),
            p99_s=number(each, "p99_seconds"),
            errors=number(each, "errors_5xx"),
            reason=text(each, "reason"),
            order=number(each, "order") or 0,
        )
        for key, each in section(state, "pools").items()
        if isinstance(each, dict)
    ]
    return sorted(found, key=lambda row: row.order)


Row = BackendRow | PoolRow
BY_TEXT = ("name", "state", "circuit", "algorithm")


def sorted_rows(rows: Iterable[Row], column: str, *, is_reversed: bool) -> list[Row]:
    """By that attribute: text from a to z, numbers from the largest; those without one last. "": as they come."""
    listed = list(rows)
    if not column:
        return listed[::-1] if is_reversed else listed
    by_text = column in BY_TEXT
    known = [row for row in listed if getattr(row, column, None) not in (None, "")]
    unknown = [row for row in listed if getattr(row, column, None) in (None, "")]
    key: Callable[[Row], Any] = lambda row: getattr(row, column)  # noqa: E731
    return sorted(known, key=key, reverse=by_text is is_reversed) + unknown


def filtered(rows: Iterable[Row], words: str, pool: str = "") -> list[Row]:
    """Those that have each of the words in their name, state or reason; of one pool where it is named."""
    wanted = words.lower().split()
    return [
        row
        for row in rows
        if (not pool or (isinstance(row, BackendRow) and row.pool == pool)) and all(word in _searched(row) for word in wanted)
    ]


def _searched(row: Row) -> str:
    if isinstance(row, PoolRow):
        return f"{row.name} {row.algorithm} {row.reason}".lower()
    return f"{row.name} {row.state} {row.circuit} {'out' if row.is_out else 'in'} {row.reason} {row.last_why}".lower()


def last_whys(before: Mapping[str, Any], now: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """The word of each backend's last error: the one whose count has risen from `before` to `now`, else the known one."""
    backends, earlier = section(now, "backends"), section(before, "backends")
    found = {key: word for key, word in known.items() if key in backends}
    for key, each in backends.items():
        if not isinstance(each, dict) or each is earlier.get(key):
            continue
        counts, old = section(each, "errors_by_why"), section(section(earlier, key), "errors_by_why")
        risen = [((number(counts, word) or 0) - (number(old, word) or 0), word) for word in counts]
        risen = [rise for rise in risen if rise[0] > 0]
        if risen:
            found[key] = max(risen)[1]
    return found
