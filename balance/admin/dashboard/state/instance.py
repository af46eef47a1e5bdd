"""The instance, its workers and control itself, as sections of the document."""

from __future__ import annotations

import hashlib
import platform
import secrets
import socket
import time
from typing import Any

from balance.admin.dashboard.state.moment import Moment
from balance.admin.dashboard.state.reading import rounded
from balance.admin.metrics.processes import TICKS_PER_S
from balance.admin.state_view import StateView
from balance.health.readiness import Worker, is_stuck, not_ready_reasons, unhealthy_reasons
from balance.runtime import counters
from balance.version import VERSION

Section = dict[str, Any]
PROCESS_INTERVAL_S = 4.0  # between two looks at /proc
PAGE_BYTES = 4096


class InstanceSections:
    """Remembers what processes used at the last look."""

    def __init__(self) -> None:
        self._control_id = secrets.token_hex(4)
        self._control_started = round(time.time(), 1)
        self._looked_at = 0.0
        self._cpu_s: dict[int, float] = {}
        self._used: dict[int, tuple[float, int]] = {}  # the part of a core and the bytes of each process

    def instance(self, moment: Moment) -> Section:
        """What runs here."""
        view = moment.view
        unhealthy = unhealthy_reasons(view.board.stage, view.workers(), moment.now_us)
        not_ready = not_ready_reasons(view.board.stage, view.pool_states())
        section: Section = {
            "id": instance_id(view),
            "control_id": self._control_id,
            "host": socket.gethostname(),
            "version": VERSION,
            "python": platform.python_version(),
            "pid": view.supervisor_pid,
            "control_pid": view.control_pid,
            "started_at": round(view.started_at, 1),
            "control_started_at": self._control_started,
            "config_file": view.config.source,
            "generation": view.board.generation,
            "stage": view.board.stage.word,
            "healthy": not unhealthy,
            "ready": not not_ready,
            "worker_restarts": view.board.worker_restarts,
            "control_restarts": view.board.control_restarts,
        }
        if reasons := unhealthy + not_ready:
            section["reasons"] = "; ".join(reasons)
        return section

    def workers(self, moment: Moment) -> Section:
        """The processes that carry traffic."""
        view = moment.view
        rows = view.worker_rows()
        self._look([view.control_pid, *(row[counters.PID] for _, row in rows if row is not None)], moment.sample.mono)
        found = {}
        for number, row in rows:
            if row is None:
                found[str(number)] = {"state": "gone"}
                continue
            pid, leaves = row[counters.PID], bool(row[counters.LEAVING])
            stuck = is_stuck(Worker(pid, row[counters.BEAT_US]), moment.now_us)
            section: Section = {
                "pid": pid,
                "state": "stuck" if stuck else "leaving" if leaves else "alive",
                "generation": row[counters.GENERATION],
                "loop_lag_seconds": rounded(row[counters.LAG_MAX_US] / 1e6),
                "connections": row[counters.CONNECTIONS_OPEN],
                "requests": row[counters.EXCHANGES_OPEN],
            }
            found[f"{number} leaving {pid}" if leaves else str(number)] = section | self._usage(pid)
        return found

    def control(self, moment: Moment, streams: int, sessions: int) -> Section:
        """This process. After workers()."""
        return {"streams": streams, "sessions": sessions, **self._usage(moment.view.control_pid)}

    def _usage(self, pid: int) -> Section:
        if pid not in self._used:
            return {}
        share, memory = self._used[pid]
        return {"memory_bytes": memory} | ({"cpu_share": rounded(share)} if share >= 0 else {})

    def _look(self, pids: list[int], mono: float) -> None:
        taken_s = mono - self._looked_at
        if taken_s < PROCESS_INTERVAL_S and set(pids) == set(self._used):
            return
        before, self._cpu_s = self._cpu_s, {}
        last, self._used = self._used, {}
        for pid in pids:
            cpu_s, memory = _usage(pid)
            self._cpu_s[pid] = cpu_s
            if pid not in before:
                share = -1.0  # not known yet
            elif taken_s < PROCESS_INTERVAL_S:
                self._cpu_s[pid], share = before[pid], last[pid][0]
            else:
                share = max(cpu_s - before[pid], 0.0) / taken_s
            self._used[pid] = share, memory
        if taken_s >= PROCESS_INTERVAL_S:
            self._looked_at = mono


def instance_id(view: StateView) -> str:
    """Another one after the whole instance was restarted, and not when control alone was."""
    return hashlib.blake2b(f"{view.supervisor_pid} {view.started_at}".encode(), digest_size=6).hexdigest()


def _usage(pid: int) -> tuple[float, int]:
    """CPU seconds so far, and bytes in memory, shared pages included; zeros where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[21]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0.0, 0
