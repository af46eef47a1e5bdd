"""The columns of a table panel: what each is called, its unit, and what a click does."""

from __future__ import annotations

from typing import Any

from panel import Panel

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # the names of a panel's queries


def overrides(panel: Panel) -> list[dict[str, Any]]:
    """Of a table: each column's unit, and what a click on a backend's name does."""
    made = [_override(title, "unit", unit) for title, unit in panel.columns]
    if panel.columns and "(pool, backend)" in panel.queries[0][0]:
        chosen = "&".join(f"var-{name}=${{__data.fields.{name}:percentencode}}" for name in ("pool", "backend"))
        url = f"/d/balance?${{instance:queryparam}}&{chosen}"
        made.append(_override("backend", "links", [{"title": "This backend alone", "url": url}]))
    return made


def _override(field: str, name: str, value: object) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": field}, "properties": [{"id": name, "value": value}]}


def one_table(panel: Panel) -> list[dict[str, Any]]:
    """One line for each set of labels, a column for each query."""
    columns = {f"Value #{LETTERS[index]}": title for index, (title, _) in enumerate(panel.columns)}
    if len(columns) == 1:
        columns = {"Value": panel.columns[0][0]}
    hidden = ["Time", *(column for column, title in columns.items() if title in panel.hidden)]
    options = {"excludeByName": dict.fromkeys(hidden, True), "indexByName": {}, "renameByName": columns}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": options}]
