"""How busy each worker is: the share of one core that its process used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

WINDOW_S = 60.0
MIN_STEP_S = 1.0


class WorkerCpu:
    """CPU times by pid, of about the last minute."""

    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[int, float]]] = deque()

    def shares(self, now: float, workers: Mapping[int, int], cpu_s: Callable[[int], float]) -> dict[int, float]:
        """The share by the worker's number; 0 for one that was not seen before. `workers`: pid by number."""
        current = {pid: cpu_s(pid) for pid in workers.values()}
        past = self._past
        while len(past) > 1 and past[1][0] <= now - WINDOW_S:
            past.popleft()
        shares = {}
        for number, pid in workers.items():
            then, before = next(((at, seen[pid]) for at, seen in past if pid in seen and now > at), (now, current[pid]))
            shares[number] = max(current[pid] - before, 0.0) / (now - then) if now > then else 0.0
        if not past or now - past[-1][0] >= MIN_STEP_S:
            past.append((now, current))
        return shares
