"""Active health checks: one module per type. PROBES maps `health_check.type` to them."""

from __future__ import annotations

from balance.probes import command, grpc, http, tcp
from balance.probes.result import Probe, Result

PROBES: dict[str, Probe] = {
    "tcp": tcp.probe,
    "http": http.probe,
    "https": http.probe,
    "grpc": grpc.probe,
    "exec": command.probe,
}

__all__ = ["PROBES", "Probe", "Result"]
