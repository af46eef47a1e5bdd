"""Starts the processes of a load, lets them begin at one moment, and gathers what they tell."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Final, NamedTuple

from balance.cli.bench.plan import Plan
from balance.cli.bench.worker import Share, main
from balance.errors import StartError
from balance.process.os_calls import set_parent_death_signal, set_process_name

HEAD_START_NS: Final = 20_000_000  # so that each has read the order when it is time


class Progress(NamedTuple):
    """How far all processes together are."""

    replies: int
    errors: int


class Child:
    """A forked process, with what it told so far."""

    def __init__(self, share: Share, orders: int, answers: int, pid: int) -> None:
        self.share = share
        self.orders = orders
        self.answers = answers
        self.pid = pid
        self.rest = b""
        self.ready: dict[str, Any] | None = None
        self.progress = Progress(0, 0)
        self.result: dict[str, Any] | None = None

    def read(self) -> bool:
        """Take what there is; False at the end."""
        data = os.read(self.answers, 1 << 16)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            document = json.loads(line)
            if document["event"] == "ready":
                self.ready = document
            elif document["event"] == "progress":
                self.progress = Progress(document["replies"], document["errors"])
            else:
                self.result = document
        return bool(data)


class Interrupt:
    """Ctrl-C: the first asks for what there is, the second ends it at once."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children
        self.count = 0

    def __call__(self, signum: int, frame: object) -> None:
        self.count += 1
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM if self.count == 1 else signal.SIGKILL)


def run(plan: Plan, address: str, show: Callable[[Progress, bool], None]) -> tuple[list[dict[str, Any]], bool]:
    """The result of each process, and whether it was interrupted. `show` is told the progress, and whether it has begun."""
    children: list[Child] = []
    interrupt = Interrupt(children)
    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for connections, requests in plan.shares():
            children.append(_fork(plan, address, connections, requests, children))
        _gather(children, show)
        for child in children:
            os.waitpid(child.pid, 0)
        children_left, results = children[:], [child.result for child in children]
        children.clear()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
    for child in children_left:
        os.close(child.answers)
        os.close(child.orders)
    found = [result for result in results if result is not None]
    if len(found) < len(results) and not interrupt.count:
        raise StartError("a process of the load ended without a result; what it said is above")
    return found, interrupt.count > 0


def _fork(plan: Plan, address: str, connections: int, requests: int | None, others: list[Child]) -> Child:
    orders_read, orders_write = os.pipe()
    answers_read, answers_write = os.pipe()
    share = Share(plan, address, connections, requests, orders_read, answers_write)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            set_parent_death_signal(parent, signal.SIGKILL)
            set_process_name("balance-bench")
            for fd in (orders_write, answers_read, *(each for other in others for each in (other.orders, other.answers))):
                os.close(fd)
            main(share)
            status = 0
        except Exception as error:
            os.write(2, f"balance: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    os.close(orders_read)
    os.close(answers_write)
    return Child(share, orders_write, answers_read, pid)


def check_connected(children: list[Child]) -> None:
    """StartError says why, where not one connection could be made: nothing would ever be sent."""
    told = [child.ready for child in children if child.ready is not None]
    if children[0].share.plan.is_keepalive and not any(each["connected"] for each in told):
        kinds = sorted({kind for each in told for kind in each["errors"]})
        raise StartError(f"no connection to {children[0].share.plan.target} could be made: {', '.join(kinds) or 'no reason'}")


def _gather(children: list[Child], show: Callable[[Progress, bool], None]) -> None:
    has_begun = False
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.answers, selectors.EVENT_READ, child)
        while selector.get_map():
            for key, _ in selector.select(0.25):
                if not key.data.read():
                    selector.unregister(key.fd)
            if not has_begun and all(child.ready is not None for child in children):
                has_begun = True
                check_connected(children)
                start = f"{monotonic_ns() + HEAD_START_NS}\n".encode()
                for child in children:
                    with contextlib.suppress(BrokenPipeError):
                        os.write(child.orders, start)
            replies = sum(child.progress.replies for child in children)
            show(Progress(replies, sum(child.progress.errors for child in children)), has_begun)
