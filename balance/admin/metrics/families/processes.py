"""The usual process_* names, summed over all processes, and how busy each worker is."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics import processes
from balance.admin.metrics.definitions import program as table
from balance.admin.metrics.family import by_word, single
from balance.admin.metrics.scrape import Scrape
from balance.runtime import counters


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    view = scrape.view
    # The supervisor first: of a child that ends in between one scrape has less, and none has it twice.
    ended_s = sum(processes.ended_children_cpu_s(pid) for pid in (view.supervisor_pid, view.control_pid))
    usages = {pid: processes.usage(pid) for pid in view.pids()}
    used = processes.total(usages.values())
    staying = {number: row[counters.PID] for number, row in view.worker_rows() if row is not None and not row[counters.LEAVING]}
    shares = scrape.remembered.worker_cpu.shares(
        scrape.now_us / 1e6, staying, lambda pid: usages[pid].cpu_s if pid in usages else 0.0
    )
    yield by_word(table.BUSY, [(str(number), share) for number, share in shares.items()])
    yield single(table.CPU, _cpu_us(scrape, int((used.cpu_s + ended_s) * 1e6)) / 1e6)
    yield single(table.RESIDENT, used.memory_bytes)
    yield single(table.VIRTUAL, used.virtual_bytes)
    yield single(table.FDS, used.open_fds)
    yield single(table.MAX_FDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield single(table.START, view.started_at)
    limit = processes.memory_limit_bytes()
    if limit:
        yield single(table.MEMORY_LIMIT, limit)


def _cpu_us(scrape: Scrape, counted_us: int) -> int:
    """Never less than was told before, by this process or the one before it."""
    board, remembered = scrape.view.board, scrape.remembered
    told_us = board.cpu_told_us
    if counted_us + remembered.cpu_kept_us < told_us and not remembered.cpu_shown_us:
        remembered.cpu_kept_us = told_us - counted_us  # the first scrape after an upgrade: other processes counted that
    remembered.cpu_shown_us = max(counted_us + remembered.cpu_kept_us, told_us)
    board.tell_cpu_us(remembered.cpu_shown_us)
    return remembered.cpu_shown_us
