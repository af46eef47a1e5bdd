"""Text output of responses: tables, results of orders, warnings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from balance.cli.admin.admin_client import Reply

REFUSED = 1


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
    return "-" if value is None or value == "" else str(value)


def show(lines: Iterable[str]) -> None:
    """Print them."""
    for line in lines:
        click.echo(line)


def show_json(document: dict[str, Any]) -> None:
    """Print the response as JSON."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show_refusal(reply: Reply, is_json: bool) -> int:
    """Print why an order was refused. Returns the exit status."""
    if is_json:
        show_json(reply.document)
        return REFUSED
    for problem in reply.document.get("problems") or [reply.error]:
        click.echo(f"balance: {problem}", err=True)
    return REFUSED


def show_warnings(document: dict[str, Any]) -> None:
    """Print the warnings on stderr."""
    for line in document.get("warnings", ()):
        click.echo(f"balance: warning: {line}", err=True)


def show_outcome(reply: Reply, is_json: bool, *, is_dry_run: bool = False) -> int:
    """Print the result of an order. Returns the exit status."""
    if not reply.is_done:
        return show_refusal(reply, is_json)
    document = reply.document
    if is_json:
        show_json(document)
        return 0
    show(document.get("changes", ()))
    show(f"! {line}" for line in document.get("dropped", ()))
    show_warnings(document)
    summary = document.get("summary") or "done"
    if is_dry_run:
        click.echo(f"would be: {summary}")
    else:
        click.echo(f"generation {document['generation']}: {summary}")
    return 0
