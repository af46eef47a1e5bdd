"""The table of backends or pools: which columns there is room for, and what stands in them."""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.cli.top.cells import clipped, count_text, filled, percent_text, time_text, width_of
from balance.cli.top.lines import Line, Span, Style, cut
from balance.cli.top.rows import BackendRow, PoolRow, Row
from balance.cli.top.view import View

WIDE = 110  # from here on every row has its reason beside its numbers


class _Column(NamedTuple):
    head: str
    attribute: str
    width: int
    to_right: bool = True


_BACKENDS: Final = (
    _Column("STATE", "state", 11, False),
    _Column("CIRC", "circuit", 6, False),
    _Column("WGT", "weight", 4),
    _Column("SH/DUE%", "share", 7),
    _Column("ACT", "active", 5),
    _Column("REQ/S", "rate", 5),
    _Column("P50", "p50_s", 5),
    _Column("P99", "p99_s", 5),
    _Column("ERR/S", "errors", 5),
)
_POOLS: Final = (
    _Column("ALGORITHM", "algorithm", 16, False),
    _Column("READY", "ready", 7),
    _Column("ACT", "active", 5),
    _Column("WAIT", "waiting", 5),
    _Column("REQ/S", "rate", 5),
    _Column("P50", "p50_s", 5),
    _Column("P99", "p99_s", 5),
    _Column("5XX/S", "errors", 5),
)
_STYLES: Final = {
    "healthy": Style.GOOD,
    "unchecked": Style.PLAIN,
    "unknown": Style.DIM,
    "returning": Style.WARN,
    "draining": Style.WARN,
    "maintenance": Style.WARN,
    "ejected": Style.BAD,
    "unhealthy": Style.BAD,
}


def _columns(view: View, width: int) -> tuple[int, tuple[_Column, ...], int]:
    """The width of names, the columns that fit, the width of reasons (0: none)."""
    columns: tuple[_Column, ...] = _POOLS if view.is_pools else _BACKENDS
    taken = sum(column.width + 1 for column in columns)
    while columns and width - taken - 1 < 12:  # a narrow window loses columns before names
        taken -= columns[-1].width + 1
        columns = columns[:-1]
    room = width - taken - 1
    if width < WIDE:
        return max(room, 1), columns, 0
    longest = max((width_of(row.name) for row in view.rows), default=12)
    name_width = max(min(longest, room // 2), 12)
    return name_width, columns, room - name_width - 1


def table(view: View, width: int, height: int) -> list[Line]:
    """The head and as many rows as fit, the chosen one among them."""
    name_width, columns, reason_width = _columns(view, width)
    mark = "^" if view.is_reversed else "v"
    parts = [filled(f" {'POOL' if view.is_pools else 'BACKEND'}{mark if view.sort == 'name' else ''}", name_width + 1)]
    for column in columns:
        head = f"{column.head}{mark}" if column.attribute == view.sort else column.head
        head = head if len(head) <= column.width else f"{column.head[: column.width - 1]}{mark}"
        parts.append(filled(head, column.width, to_right=column.to_right))
    if reason_width:
        parts.append(filled("WHY", reason_width))
    lines: list[Line] = [[Span(filled(" ".join(parts), width), Style.HEAD)]]
    if not view.rows:
        what = "pools" if view.is_pools else "backends"
        lines.append(
            [Span(clipped(f"  no {what} match; Esc shows all" if view.filter or view.pool else f"  no {what}", width))]
        )
    for row in view.scroll(height - 1):
        chosen = row.key == view.selected
        lines.append(_row(row, chosen, name_width, columns, reason_width, width))
    return lines


def _row(row: Row, is_selected: bool, name_width: int, columns: tuple[_Column, ...], reason_width: int, width: int) -> Line:
    name = f"{'>' if is_selected else ' '}{filled(row.name, name_width)}"
    cells = [filled(_cell(row, column), column.width, to_right=column.to_right) for column in columns]
    reason = row.reason
    if isinstance(row, BackendRow):
        reason = reason or (f"last error {row.last_why}" if row.last_why else "")
        if row.is_out and row.reason and not reason_width and not row.active and not row.rate and len(columns) > 3:
            kept = width - (name_width + 1 + sum(column.width + 1 for column in columns[:2])) - 1
            cells = [*cells[:2], clipped(row.reason, kept)]
    if reason_width:
        cells.append(clipped(reason, reason_width))
    line = " ".join([name, *cells])
    if is_selected:
        return [Span(filled(line, width), Style.SELECTED)]
    if isinstance(row, PoolRow):
        return [Span(clipped(line, width), Style.BAD if row.ready == 0 else Style.PLAIN)]
    style = _STYLES.get(row.state, Style.PLAIN)
    if row.circuit in ("OPEN", "half") and style in (Style.GOOD, Style.PLAIN):
        style = Style.WARN
    if style in (Style.PLAIN, Style.GOOD) and not row.is_out:  # what is well is not all in colour
        return cut([Span(f"{name} "), Span(cells[0] if cells else "", style), Span(" " + " ".join(cells[1:]))], width)
    return [Span(clipped(line, width), style)]


def _cell(row: Row, column: _Column) -> str:
    value = getattr(row, column.attribute)
    match column.attribute:
        case "share":
            assert isinstance(row, BackendRow)
            return f"{percent_text(row.share)}/{percent_text(row.due)}"
        case "ready":
            assert isinstance(row, PoolRow)
            return f"{count_text(row.ready)}/{count_text(row.backends)}"
        case "p50_s" | "p99_s":
            return time_text(value)
        case "state" | "circuit" | "algorithm":
            return value or "-"
    return count_text(value)


def plain_table(view: View) -> list[str]:
    """All rows as text for no terminal: nothing of it is cut but by its column."""
    name_width = max((width_of(row.name) for row in view.rows), default=7)
    columns = _POOLS if view.is_pools else _BACKENDS
    heads = [filled("POOL" if view.is_pools else "BACKEND", name_width)]
    heads += [filled(column.head, column.width, to_right=column.to_right) for column in columns]
    lines = [" ".join([*heads, "WHY"])]
    for row in view.rows:
        cells = [filled(row.name, name_width)]
        cells += [filled(_cell(row, column), column.width, to_right=column.to_right) for column in columns]
        why = row.reason or (f"last error {row.last_why}" if isinstance(row, BackendRow) and row.last_why else "")
        lines.append(" ".join([*cells, why]).rstrip())
    return lines
