"""GET /autoscaler and its parts as JSON.

KEDA's metrics-api scaler takes a number by its path in the document (`valueLocation`), so numbers that it may want stand at the
top of a pool's document. While its metric is not known the status is 503, so that nobody takes an unknown load for none. What
an HPA reads is an ExternalMetricValueList (external.metrics.k8s.io/v1beta1) with quantities: whole numbers as text, or
thousandths like 1500m.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from balance.admin.autoscaling.state import AutoscalerView
from balance.admin.json_reply import iso_time

EXTERNAL_API: Final = "external.metrics.k8s.io/v1beta1"
# What is offered of a pool as a number: by its name, what is shown.
VALUES: Final = ("value", "recommended", "desired", "current", "ready")


def pool_document(view: AutoscalerView) -> dict[str, Any]:
    """One pool's."""
    config, decision = view.config, view.decision
    document: dict[str, Any] = {
        "pool": view.pool,
        "state": view.state,
        "value": decision and _rounded(decision.value),
        "target": config.target,
        "metric": config.metric,
        "current": decision.current if decision else view.members,
        "desired": decision and decision.desired,
        "recommended": decision and decision.recommended,
        "ready": view.ready,
        "min": config.min,
        "max": config.max,
        "action": decision and decision.action.value,
        "reason": decision and decision.reason.value,
        "why": view.problem or (decision.why if decision else "nothing was decided yet"),
        "driver": config.driver,
        "dry_run": config.dry_run,
        "decided_at": iso_time(view.at) if view.at else None,
        "last_change_seconds_ago": _ago(view.changed_ago_s),
        "leader": {"this_one": view.leads, "name": view.leader or None, "token": view.token, "balancers": view.balancers},
    }
    if config.driver == "process":
        document["processes"] = dict(view.processes)
    return document


def _ago(seconds: float | None) -> int | None:
    return None if seconds is None or seconds > 10**9 else round(seconds)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def external_metrics(view: AutoscalerView, metric: str, now: float) -> dict[str, Any] | None:
    """The ExternalMetricValueList of a pool's number; None while it is not known."""
    decision = view.decision
    if decision is None or (metric == "value" and view.problem):
        return None
    value = view.ready if metric == "ready" else getattr(decision, metric)
    if value is None:
        return None
    return {
        "kind": "ExternalMetricValueList",
        "apiVersion": EXTERNAL_API,
        "metadata": {},
        "items": [
            {
                "metricName": f"balance_autoscaler_{metric}",
                "metricLabels": {"pool": view.pool},
                "timestamp": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "value": quantity(float(value)),
            }
        ],
    }


def quantity(value: float) -> str:
    """A Kubernetes quantity: whole numbers as they are, others in thousandths."""
    return str(int(value)) if value == int(value) else f"{round(value * 1000)}m"
