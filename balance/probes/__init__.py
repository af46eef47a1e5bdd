"""How a backend is asked whether it is well: one file per kind. PROBES is the table of them, by `health_check.type`."""

from __future__ import annotations

from balance.probes import command, grpc, http, https, tcp
from balance.probes.result import Probe, Result

PROBES: dict[str, Probe] = {
    "tcp": tcp.probe,
    "http": http.probe,
    "https": https.probe,
    "grpc": grpc.probe,
    "exec": command.probe,
}

__all__ = ["PROBES", "Probe", "Result"]
