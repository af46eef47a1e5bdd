"""The results of a simulation: shares, errors and latencies, in virtual seconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil

NO_BACKEND = -1  # no backend was available


class Report:
    """The requests of a simulation in the order of arrival, and statistics over them."""

    def __init__(self, servers: Sequence[str], warm_up_s: float = 0.0) -> None:
        self.servers = tuple(servers)
        self.warm_up_s = warm_up_s
        self.moved = 0  # requests whose key went to another server than before
        self._arrived: list[float] = []
        self._server: list[int] = []
        self._took: list[float] = []  # latencies of successful requests
        self._errors = 0

    def add(self, arrived: float, server: int, took_s: float, is_good: bool) -> None:
        """Add one request; `server` is an index or NO_BACKEND."""
        if arrived < self.warm_up_s:
            return
        self._arrived.append(arrived)
        self._server.append(server)
        if is_good:
            self._took.append(took_s)
        else:
            self._errors += 1

    @property
    def requests(self) -> int:
        return len(self._arrived)

    @property
    def errors(self) -> int:
        """Requests that failed."""
        return self._errors

    @property
    def shares(self) -> dict[str, float]:
        """The fraction of the requests that each server got, by name."""
        return {name: self.share(name) for name in self.servers}

    def share(self, name: str, from_s: float = 0.0, to_s: float = float("inf")) -> float:
        """The fraction of the requests within a time range that the server got."""
        start, end = bisect_left(self._arrived, from_s), bisect_left(self._arrived, to_s)
        return self._server[start:end].count(self.servers.index(name)) / max(1, end - start)

    def quantile_s(self, part: float) -> float:
        """A latency quantile of successful requests, e.g. 0.99; nan without any."""
        self._took.sort()
        return self._took[max(0, ceil(part * len(self._took)) - 1)] if self._took else float("nan")

    @property
    def p50_s(self) -> float:
        return self.quantile_s(0.5)

    @property
    def p99_s(self) -> float:
        return self.quantile_s(0.99)

    def __str__(self) -> str:
        shares = " ".join(f"{100 * share:.2f}" for share in self.shares.values())
        return (
            f"{self.requests} requests, {self.errors} errors, p50 {1e3 * self.p50_s:.1f} ms, p99 {1e3 * self.p99_s:.1f} ms, "
            f"shares {shares} %"
        )
