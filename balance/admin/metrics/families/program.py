"""The program: workers, reloads, what it could not log or count, who was refused at the admin port."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.access.refusals import AdminRefusal
from balance.admin.metrics.definitions import program as table
from balance.admin.metrics.family import Family, by_word, single
from balance.admin.metrics.scrape import Scrape
from balance.admin.supervisor_orders import ReloadResult
from balance.runtime import counters
from balance.version import VERSION

_US = 1_000_000


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    view, board, cell = scrape.view, scrape.view.board, scrape.totals.cell
    worst: dict[int, int] = {}
    for number, row in view.worker_rows():  # a draining worker has the same number as its successor
        worst[number] = max(worst.get(number, 0), row[counters.LAG_MAX_US] if row is not None else 0)
    yield by_word(table.LAG, [(str(number), lag_us / _US) for number, lag_us in worst.items()])
    yield single(table.WORKERS, sum(1 for worker in view.workers() if worker.pid))
    yield single(table.WORKER_RESTARTS, board.worker_restarts)
    yield single(table.CONTROL_RESTARTS, board.control_restarts)
    yield single(table.DIALS_FAILED_HERE, cell(counters.DIALS_FAILED_HERE))
    yield single(table.LOG_LINES_LOST, cell(counters.LOG_LINES_LOST))
    yield single(table.SERIES_LOST, cell(counters.SERIES_LOST))
    yield single(table.GENERATION, board.generation)
    yield by_word(table.RELOADS, [(result.word, board.reloads(result)) for result in ReloadResult])
    yield single(table.LAST_RELOAD, board.last_reload is not ReloadResult.FAILURE)
    yield by_word(table.ADMIN_REFUSED, [(reason.word, board.admin_refusals(reason)) for reason in AdminRefusal])
    build = Family(table.BUILD)
    build.add((VERSION, platform.python_version()), 1)
    yield build.metric
