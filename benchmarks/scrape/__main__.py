"""What a scrape costs control: CPU and time by the number of backends, and how long its event loop stands still meanwhile.

    PYTHONPATH=. python3 benchmarks/scrape [backends ...]

No workers run: they have no part in a scrape. Every backend has counted requests of three statuses in two workers' rows.
"""

from __future__ import annotations

import asyncio
import sys
import time

from balance.admin.metrics.exposition import Exposition
from balance.admin.metrics.formats import Format
from balance.admin.state_view import StateView
from balance.config import load_text
from balance.health.states import State
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots

SCRAPES = 5
TICK_S = 0.001


def instance(backends: int, histograms: str, workers: int = 2) -> StateView:
    """A configuration with pools of 50 backends, and rows that have counted."""
    pools = ["pools:"]
    for pool in range((backends + 49) // 50):
        numbers = range(pool * 50, min(backends, pool * 50 + 50))
        listed = ", ".join(f'{{name: b{number}, address: "10.0.{number // 250}.{number % 250 + 1}:80"}}' for number in numbers)
        pools.append(f"  p{pool}: {{backends: [{listed}]}}")
    text = (
        "\n".join(pools)
        + f"\nlisteners: [{{mode: http, listen: ':80', pool: p0}}]\nmetrics: {{backend_histograms: {histograms}}}\n"
    )
    config = load_text(text, "bench.yaml", {}).config
    slots = backend_slots(config)
    board = Board(workers, len(slots) + 1)
    for cells in board.rows:
        row = Row(cells)
        for slot in range(1, len(slots) + 1):
            for status, us in ((200, 3_000), (404, 1_000), (502, 70_000)):
                row.count_exchange(slot, counters.NO_ROUTE, b"GET", status, 0, us, us, 400, 1000, 0)
    return StateView(config, slots, board, 0, 0, 0.0, [], lambda slot: None, lambda slot, event, reason: State.UNKNOWN)


async def measure(view: StateView, format: Format, *, is_compressed: bool) -> tuple[float, float, float, int]:
    """(CPU seconds, seconds, the loop's longest pause in seconds, bytes) of a scrape, the best of some."""
    exposition, results = Exposition(view), []
    for _ in range(SCRAPES):
        worst, is_done = 0.0, asyncio.Event()

        async def watch(is_done: asyncio.Event = is_done) -> None:
            nonlocal worst
            before = time.perf_counter()
            while not is_done.is_set():
                await asyncio.sleep(TICK_S)
                now = time.perf_counter()
                worst, before = max(worst, now - before - TICK_S), now

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        cpu, began = time.process_time(), time.perf_counter()
        text = await exposition.text(format, is_compressed=is_compressed)
        cpu, taken = time.process_time() - cpu, time.perf_counter() - began
        is_done.set()
        await watching
        results.append((cpu, taken, worst, len(text)))
    return min(results)


def main() -> None:
    """A line for each number of backends and way of showing them."""
    print("backends  histograms  format               CPU      time     loop's pause  size")
    for backends in [int(word) for word in sys.argv[1:]] or [100, 200, 1000, 5000]:
        for histograms in ("auto", "backend") if backends > 200 else ("auto",):
            view = instance(backends, histograms)
            for format, is_compressed in ((Format.TEXT, False), (Format.OPENMETRICS, True)):
                cpu, taken, pause, size = asyncio.run(measure(view, format, is_compressed=is_compressed))
                shown = f"{format.name.lower()}{' gzip' if is_compressed else ''}"
                times = f"{cpu * 1000:5.0f} ms {taken * 1000:6.0f} ms {pause * 1000:9.1f} ms"
                print(f"{backends:8}  {histograms:10}  {shown:18} {times}  {size / 1024:6.0f} KiB")


if __name__ == "__main__":
    main()
