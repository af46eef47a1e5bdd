"""A process of the load: connects, warms up, measures, and tells its parent so in lines of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any, Final

from balance.cli.bench.histogram import Histogram
from balance.cli.bench.http_connection import HttpShared
from balance.cli.bench.load import Load, merged
from balance.cli.bench.plan import Plan, TlsOptions

REPORT_S: Final = 0.2  # how often the parent hears how far it is
SLICES: Final = 20  # of a run with a duration
MAX_SLICES: Final = 40  # of one with a number of requests, whose slices then become twice as long
SLICE_S: Final = 0.25


@dataclass
class Slices:
    """What was counted in each stretch of time, so that --compare knows what chance does."""

    length_s: float
    dense: list[list[int]] = field(default_factory=list)
    ends: float = 0.0
    over_s: float = 0.0  # when it was over, 0 before
    in_time: int = 0  # replies until then

    def take(self, load: Load) -> None:
        self.dense.append(load.slice())
        if len(self.dense) > MAX_SLICES:
            self.dense = merged(self.dense)
            self.length_s *= 2


@dataclass(frozen=True, slots=True)
class Share:
    """What one process has of the plan."""

    plan: Plan
    address: str
    connections: int
    requests: int | None
    orders: int  # pipe: a line with the time to begin
    answers: int  # pipe: lines of JSON


def main(share: Share) -> None:
    """Runs in the forked child."""
    import uvloop

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(share))


async def _run(share: Share) -> None:
    loop, plan = asyncio.get_running_loop(), share.plan
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, interrupted.set)
    load = Load(plan, share.connections, share.address, tls_context(plan.tls) if plan.target.is_tls else None)
    connected = await load.connect()
    _say(share.answers, {"event": "ready", "connected": connected, "errors": load.errors})
    line = await loop.run_in_executor(None, os.read, share.orders, 64)
    start = int(line or b"0")
    await asyncio.sleep(max(start - monotonic_ns(), 0) / 1e9)
    sweeper = loop.create_task(_sweep(load, plan.timeout_s))
    if plan.warmup_s and not interrupted.is_set():
        over = start + int(plan.warmup_s * 1e9)
        load.on_portion = lambda: load.halt() if monotonic_ns() >= over else None
        load.start(start, None, plan.warmup_s)
        await _wait(interrupted, plan.warmup_s)
        start = over
    load.forget()
    load.on_portion = _ignore
    used, began = _usage(), monotonic_ns()
    load.start(max(start, began), share.requests, plan.duration_s or 1e9)
    slices = await _measure(share, load, began, interrupted)
    elapsed_s = slices.over_s or (monotonic_ns() - began) / 1e9
    spent = [after - before for after, before in zip(_usage(), used, strict=True)]
    if load.replies > load.sliced:
        slices.take(load)
    in_time = slices.in_time if slices.over_s else load.sliced
    unsent = load.stop()
    if not interrupted.is_set():  # those in flight may be the slow ones
        await _wait(load.done, plan.timeout_s + 1, interrupted)
    tail = Histogram.of(load.slice())
    sweeper.cancel()
    in_flight = load.close()
    shared = load.shared
    _say(
        share.answers,
        {
            "event": "result",
            "elapsed_s": elapsed_s,
            "in_time": in_time,
            "slice_s": slices.length_s,
            "slices": [Histogram.of(each).counts for each in slices.dense],
            "tail": tail.counts,
            "errors": load.errors,
            "statuses": shared.status_counts() if isinstance(shared, HttpShared) else {},
            "received": shared.bytes_received() if isinstance(shared, HttpShared) else None,
            "unsent": unsent,
            "in_flight": in_flight,
            "waited": load.waited,
            "late": load.late,
            "latest_ns": load.latest_ns,
            "cpu_user_s": spent[0],
            "cpu_system_s": spent[1],
            "cpu_wait_s": spent[2],
        },
    )


async def _measure(share: Share, load: Load, began: int, interrupted: asyncio.Event) -> Slices:
    """Until it is time, all is sent and answered, or somebody ends it."""
    plan = share.plan
    length_s = max(plan.duration_s / SLICES, SLICE_S) if plan.duration_s and plan.requests is None else SLICE_S
    slices = Slices(length_s, ends=length_s)
    limit_s = plan.duration_s or float("inf")

    def look() -> float:
        """Do what it is time for. Returns for how long nothing is."""
        now_s = (monotonic_ns() - began) / 1e9
        if now_s >= limit_s:
            load.halt()
            if not slices.over_s:
                slices.over_s, slices.in_time = now_s, load.replies
            return 0.0
        if now_s >= slices.ends:
            slices.take(load)
            slices.ends += slices.length_s
            _say(share.answers, {"event": "progress", "replies": load.replies, "errors": sum(load.errors.values())})
        return max(min(limit_s - now_s, slices.ends - now_s, REPORT_S), 0.001)

    load.on_portion = look
    while not (load.done.is_set() and share.requests is not None) and not interrupted.is_set() and (pause_s := look()):
        await _wait(load.done if share.requests is not None else interrupted, pause_s, interrupted)
    load.on_portion = _ignore
    return slices


def _ignore() -> None:
    pass


async def _wait(event: asyncio.Event, limit_s: float, other: asyncio.Event | None = None) -> None:
    waits = [asyncio.ensure_future(each.wait()) for each in {event, other or event}]
    await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()


async def _sweep(load: Load, timeout_s: float) -> None:
    while True:
        await asyncio.sleep(min(max(timeout_s / 10, 0.02), 0.5))
        load.sweep()


def _say(fd: int, document: dict[str, Any]) -> None:
    text = memoryview(json.dumps(document).encode() + b"\n")
    while text:
        text = text[os.write(fd, text) :]


def _usage() -> tuple[float, float, float]:
    """Seconds of CPU as user and in the kernel, and those that it waited for a CPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        waited_ns = int(Path("/proc/self/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        waited_ns = 0
    return used.ru_utime, used.ru_stime, waited_ns / 1e9


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """OSError (ssl.SSLError is one) where a file can't be used."""
    context = ssl.create_default_context(cafile=options.ca_file)
    if not options.is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.certificate is not None:
        context.load_cert_chain(options.certificate, options.key)
    context.set_alpn_protocols(["http/1.1"])
    return context
