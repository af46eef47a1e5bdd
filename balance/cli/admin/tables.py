"""Text output of responses: tables, results of orders, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from balance.client import OrderResult
from balance.client.printable import printable, printable_json


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table with aligned columns, numbers to the right."""
    listed = list(rows)
    shown = [list(heads), *([_cell(value) for value in row] for row in listed)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    to_right = [bool(listed) and all(isinstance(row[index], (int, float)) for row in listed) for index in range(len(heads))]
    return [_line(row, widths, to_right) for row in shown]


def _line(row: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    cells = zip(row, widths, to_right, strict=True)
    return "  ".join(text.rjust(width) if right else text.ljust(width) for text, width, right in cells).rstrip()


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else printable(str(value))


def time_text(time: datetime | None) -> str | None:
    """A time to the second, in UTC."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def state_text(state: str) -> str:
    """A backend's state after an order, in words."""
    known = {"unknown": "enabled: the next check decides", "unchecked": "enabled", "maintenance": "in maintenance"}
    return known.get(state, state)


def show(lines: Iterable[str]) -> None:
    """Print them."""
    for line in lines:
        click.echo(printable(line))


def show_json(document: dict[str, Any]) -> None:
    """Print the response as JSON."""
    click.echo(printable_json(document, indent=2))


def show_warnings(warnings: Iterable[str]) -> None:
    """Print the warnings on stderr."""
    for line in warnings:
        click.echo(f"balance: warning: {printable(line)}", err=True)


def show_outcome(done: OrderResult, is_json: bool, *, is_dry_run: bool = False) -> int:
    """Print the result of an order. Returns the exit status."""
    if is_json:
        show_json(done.document)
        return 0
    show(done.changes)
    show(f"! {line}" for line in done.dropped)
    show_warnings(done.warnings)
    summary = printable(done.summary) or "done"
    click.echo(f"would be: {summary}" if is_dry_run else f"generation {done.generation}: {summary}")
    return 0
