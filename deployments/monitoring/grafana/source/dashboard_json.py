"""Makes Grafana's JSON of the panels. Decides ids, places and how each kind of panel looks.

The classic schema, which Grafana 10 to 13 load from files. There is no __inputs: those are asked for when somebody imports a
dashboard by hand, and stay empty in one that is provisioned.
"""

from __future__ import annotations

from typing import Any

from panel import INSTANCE, POOL, Panel, Row
from rows import ROWS
from table_columns import LETTERS, one_table, overrides

DATASOURCE = {"type": "prometheus", "uid": "balance-prometheus"}  # as in provisioning/datasources/balance.yml
SCHEMA_VERSION = 39  # Grafana 10.4 and 11
HEIGHTS = {"stat": 4, "timeseries": 8, "state-timeline": 8, "table": 9}
GREY, GREEN, RED = "text", "green", "red"


def dashboard() -> dict[str, Any]:
    return {
        "uid": "balance",
        "title": "Balance",
        "description": "The proxy and load balancer Balance: traffic, backends, limits, processes.",
        "tags": ["balance", "load-balancer"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {
            "list": [
                _annotation("Reload", "balance_config_generation", "blue"),
                _annotation("Restart", "process_start_time_seconds", "orange"),
            ]
        },
        "templating": {
            "list": [
                _variable("instance", "balance_build_info", ""),
                _variable("pool", "balance_backend_healthy", INSTANCE),
                _variable("backend", "balance_backend_healthy", POOL),
            ]
        },
        "panels": _flow(ROWS),
    }


def _flow(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Panels from left to right, each row of the dashboard below the one before."""
    panels: list[dict[str, Any]] = []
    number = y = 0
    for row in rows:
        number += 1
        heading = _row(number, row, y)
        panels.append(heading)
        y += 1
        inside = heading["panels"] if row.is_closed else panels
        x = height = 0
        for panel in row.panels:
            number += 1
            if x + panel.width > 24:
                x, y = 0, y + height
            height = HEIGHTS[panel.kind]
            inside.append(_panel(number, panel, {"h": height, "w": panel.width, "x": x, "y": y}))
            x += panel.width
        y += height
    return panels


def _row(number: int, row: Row, y: int) -> dict[str, Any]:
    place = {"h": 1, "w": 24, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": row.title, "collapsed": row.is_closed, "gridPos": place, "panels": []}


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": overrides(panel)},
        "options": OPTIONS[panel.kind],
        "targets": [_target(LETTERS[index], *query, panel) for index, query in enumerate(panel.queries)],
    }
    if panel.kind == "table":
        made["transformations"] = one_table(panel)
    return made


def _target(letter: str, expression: str, legend: str, panel: Panel) -> dict[str, Any]:
    is_now = panel.kind == "table"
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend,
        "range": not is_now,
        "instant": is_now,
        "format": "table" if is_now else "time_series",
        "exemplar": panel.kind == "timeseries" and "_bucket" in expression,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = panel.thresholds or ((None, GREY if panel.kind == "stat" else GREEN),)
    made: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": "-",
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"value": start, "color": color} for start, color in steps]},
        "mappings": [],
    }
    if panel.values:
        options = {
            str(value): {"text": text, "color": color, "index": index}
            for index, (value, text, color) in enumerate(panel.values)
        }
        made["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        made["min"] = 0
        made["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 40 if panel.is_stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
        }
    return made


def _variable(name: str, family: str, selector: str) -> dict[str, Any]:
    query = f"label_values({family}{{{selector}}}, {name})" if selector else f"label_values({family}, {name})"
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"variable-{name}", "qryType": 1},
        "refresh": 2,  # when the time range changes, so that what came since is there
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # also what has no pool, as requests that were answered before one was asked
        "current": {"text": "All", "value": "$__all"},
        "hide": 0,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }


def _annotation(name: str, family: str, color: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": f'changes({family}{{instance=~"$instance"}}[$__rate_interval]) > 0 and on (job, instance) balance_build_info',
        "titleFormat": f"{name} of {{{{instance}}}}",
    }


_LEGEND = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True}
OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "justifyMode": "auto",
        "orientation": "auto",
    },
    "state-timeline": {
        "alignValue": "left",
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "never",
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": [], "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}
