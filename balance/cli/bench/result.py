"""What a run found: the processes' results added up, as one document that is shown, written as JSON and compared.

Percentiles come from the sum of the histograms. What no reply was waited out for (timeouts, planned requests that no connection
was free for) is in them with the time that it had waited.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from balance.cli.bench.histogram import Histogram
from balance.cli.bench.plan import Plan
from balance.interpreter import Interpreter
from balance.version import VERSION

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 99.99)
FORMAT: Final = "balance-bench/1"
BUSY: Final = 0.9  # of a process's time: from there on its own delays are in the latencies


def percentile_name(percent: float) -> str:
    return f"p{percent:g}"


def summed(plan: Plan, results: list[dict[str, Any]], is_interrupted: bool) -> dict[str, Any]:
    """The document of a run."""
    latency, slices = Histogram(), _slices(results)
    for each in slices:
        latency.add(each)
    for result in results:
        latency.add(_histogram(result["tail"]))
    elapsed_s = max(result["elapsed_s"] for result in results)
    in_time = sum(result["in_time"] for result in results)
    statuses = added(result["statuses"] for result in results)
    refused = {f"status {status}": count for status, count in statuses.items() if int(status) >= 400}
    errors = {**added(result["errors"] for result in results), **refused}
    unsent = sum(result["unsent"] for result in results)
    timeouts = errors.get("timeout", 0)
    answered = latency.total - unsent - timeouts
    slice_s = max(result["slice_s"] for result in results)
    return {
        "format": FORMAT,
        "version": VERSION,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.release(),
            "python": platform.python_version(),
            "interpreter": str(Interpreter.here()),
        },
        "settings": settings(plan),
        "interrupted": is_interrupted,
        "elapsed_s": round(elapsed_s, 4),
        "requests": answered,
        "requests_per_s": round(max(in_time - timeouts, 0) / elapsed_s, 2) if elapsed_s else 0.0,
        "asked_per_s": plan.rate,
        "bytes_received": _received(plan, results, answered),
        "latency_ns": {
            "min": latency.min_ns,
            "mean": round(latency.mean_ns),
            "deviation": round(latency.deviation_ns),
            "max": latency.max_ns,
            **{percentile_name(each): latency.percentile_ns(each) for each in PERCENTILES},
        },
        "errors": errors,
        "statuses": statuses,
        "never_sent": unsent,
        "in_flight_at_end": sum(result["in_flight"] for result in results),
        "waited_for_connection": sum(result["waited"] for result in results),
        "sent_late": {
            "requests": sum(result["late"] for result in results),
            "max_ns": max(result["latest_ns"] for result in results),
        },
        "tool": tool(results),
        "slices": [slice_document(each, slice_s) for each in slices],
        "histogram": {str(bucket): count for bucket, count in sorted(latency.counts.items())},
    }


def tool(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What the load itself cost."""
    busy = [
        (result["cpu_user_s"] + result["cpu_system_s"] + result["cpu_wait_s"]) / result["elapsed_s"]
        for result in results
        if result["elapsed_s"]
    ]
    return {
        "processes": len(results),
        "cpu_user_s": round(sum(result["cpu_user_s"] for result in results), 4),
        "cpu_system_s": round(sum(result["cpu_system_s"] for result in results), 4),
        "waited_for_cpu_s": round(sum(result["cpu_wait_s"] for result in results), 4),
        "busiest": round(max(busy, default=0.0), 4),
    }


def settings(plan: Plan) -> dict[str, Any]:
    """What must be the same in two runs that are compared."""
    return {
        "target": str(plan.target),
        "connections": plan.connections,
        "requests": plan.requests,
        "duration_s": plan.duration_s,
        "warmup_s": plan.warmup_s,
        "rate": plan.rate,
        "keepalive": plan.is_keepalive,
        "size": plan.size,
        "method": plan.method if plan.target.is_http else None,
        "processes": plan.processes,
    }


def slice_document(histogram: Histogram, slice_s: float) -> dict[str, Any]:
    return {
        "requests_per_s": round(histogram.total / slice_s, 2),
        **{percentile_name(each): histogram.percentile_ns(each) for each in PERCENTILES[:3]},
    }


def is_failed(document: Mapping[str, Any]) -> bool:
    """Whether something was not answered as it should, or less was sent than was asked for."""
    return bool(document["errors"] or document["never_sent"] or not document["requests"] or is_short(document))


def is_short(document: Mapping[str, Any]) -> bool:
    asked = document["asked_per_s"]
    return asked is not None and not document["interrupted"] and document["requests_per_s"] < 0.95 * asked


def histogram_of(document: Mapping[str, Any]) -> Histogram:
    return _histogram(document["histogram"])


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))


def _histogram(counts: Mapping[str, int]) -> Histogram:
    return Histogram({int(bucket): count for bucket, count in counts.items()})


def _slices(results: list[dict[str, Any]]) -> list[Histogram]:
    """The slices of all processes, that were taken at the same times."""
    slices: list[Histogram] = []
    for result in results:
        for place, counts in enumerate(result["slices"]):
            if place == len(slices):
                slices.append(Histogram())
            slices[place].add(_histogram(counts))
    return slices


def _received(plan: Plan, results: list[dict[str, Any]], answered: int) -> int:
    if plan.target.is_http:
        return sum(result["received"] for result in results)
    return answered * (plan.size if plan.reply_size is None else plan.reply_size)
