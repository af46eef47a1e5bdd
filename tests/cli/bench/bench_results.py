"""What a process of a load tells at its end."""

from __future__ import annotations

from typing import Any

from balance.cli.bench.histogram import Histogram

MS = 1_000_000


def histogram(*latencies_ms: float) -> dict[str, int]:
    found = Histogram()
    for each in latencies_ms:
        found.record(int(each * MS))
    return {str(bucket): count for bucket, count in found.counts.items()}


def process_result(**changes: Any) -> dict[str, Any]:
    return {
        "event": "result", "elapsed_s": 2.0, "in_time": 4, "slice_s": 1.0, "slices": [histogram(1, 1), histogram(1, 3)],
        "tail": {}, "errors": {}, "statuses": {"200": 4}, "received": 400, "unsent": 0, "in_flight": 0, "waited": 0, "late": 0,
        "latest_ns": 0, "cpu_user_s": 0.1, "cpu_system_s": 0.2, "cpu_wait_s": 0.0, **changes,
    }  # fmt: skip
