"""What open dashboards cost control: CPU per second by the number of backends and of streams, all backends busy or none.

    PYTHONPATH=. python3 benchmarks/dashboard_cost [backends ...]

Control's part runs in this process, as fast as it can: a document each second of its clock, made into a patch and bytes that
each stream takes; the best of some seconds counts. No workers run: they have no part in it. What a busy backend counts is
written in between, outside of the time that is measured.
"""

from __future__ import annotations

import asyncio
import sys
import time

from balance.admin.dashboard.feed import COST_FACTOR, INTERVAL_S, MAX_INTERVAL_S, Feed, FeedReader
from balance.admin.state_view import StateView
from balance.config import load_text
from balance.health.states import State
from balance.probes.result import Result
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots

WORKERS = 4
ROUNDS = 8
WARM = 14  # documents before, so that the windows are full


def instance(backends: int) -> StateView:
    """A configuration with pools of 50 backends, checked and with circuit breakers."""
    pools = ["pools:"]
    for pool in range((backends + 49) // 50):
        numbers = range(pool * 50, min(backends, pool * 50 + 50))
        listed = ", ".join(f'{{name: b{number}, address: "10.0.{number // 250}.{number % 250 + 1}:80"}}' for number in numbers)
        pools.append(
            f"  p{pool}: {{health_check: {{enabled: true}}, circuit_breaker: {{enabled: true}}, backends: [{listed}]}}"
        )
    routes = ", ".join(f"{{name: r{pool}, path: /{pool}, pool: p{pool}}}" for pool in range((backends + 49) // 50))
    text = "\n".join(pools) + f"\nlisteners: [{{mode: http, listen: ':80', http: {{routes: [{routes}]}}}}]\n"
    config = load_text(text, "bench.yaml", {}).config
    slots = backend_slots(config)
    board = Board(WORKERS, len(slots) + 1)
    for place, row in enumerate(board.rows, 1):
        row[counters.PLACE] = place
    for slot in range(1, len(slots) + 1):
        board.set_state(slot, State.HEALTHY, 1000.0, "2 good checks in a row")
    result = Result(True, "connected", 0.001, at=1000.0)
    return StateView(config, slots, board, 0, 0, 0.0, [], lambda slot: result, lambda slot, event, reason: State.UNKNOWN)


def count(rows: list[Row], backends: int) -> None:
    """What the workers count in a second: 20 requests of each backend."""
    for number in range(20):
        row = rows[number % len(rows)]
        for slot in range(1, backends + 1):
            row.cells[counters.block(slot) + counters.LEASES] += 1
            us = 1000 + 700 * (number + slot) % 90_000
            row.count_exchange(slot, counters.NO_ROUTE, b"GET", 503 if number == 19 else 200, 0, us, us, 400, 1000, 0)


async def measure(view: StateView, backends: int, streams: int, *, is_busy: bool) -> tuple[float, int]:
    """(CPU seconds of a document, bytes of a patch), the best of some rounds."""
    feed = Feed(view)
    rows = [Row(cells) for cells in view.board.rows]
    mono = 1000.0
    readers: list[FeedReader] = []
    for _ in range(streams):
        reader = feed.open(lambda: True)
        assert reader is not None
        readers.append(reader)
        await reader.next(1)
    if feed._timer is not None:
        feed._timer.cancel()  # the clock is ours
    view.traffic.samples.clear()
    best, size = 1e9, 0
    for number in range(WARM + ROUNDS):
        if is_busy:
            count(rows, backends)
        mono += 1.0
        began = time.process_time()
        feed._make(mono)
        for reader in readers:
            reader.wake()
            found = await reader.next(1)
            assert found is not None
            size = len(found[1][-1].data)
        taken = time.process_time() - began
        if number >= WARM:
            best = min(best, taken)
    for reader in readers:
        reader.close()
    return best, size


def main() -> None:
    """A line for each number of backends and streams."""
    print("backends  streams  backends are  a document  each     CPU of a core  bytes of a patch")
    for backends in [int(word) for word in sys.argv[1:]] or [10, 200, 2000]:
        for streams in (1, 8):
            for is_busy in (True, False):
                cpu_s, size = asyncio.run(measure(instance(backends), backends, streams, is_busy=is_busy))
                word = "busy" if is_busy else "quiet"
                each_s = min(max(INTERVAL_S, COST_FACTOR * cpu_s), MAX_INTERVAL_S)
                cost = f"{cpu_s * 1e3:7.1f} ms  {each_s:4.1f} s  {cpu_s / each_s:13.2%}"
                print(f"{backends:8}  {streams:7}  {word:12}  {cost}  {size:15,}")


if __name__ == "__main__":
    main()
