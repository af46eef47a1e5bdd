"""The whole battery at once, through reloads, restarts of the workers and upgrades of the instance: nobody notices."""

from __future__ import annotations

import http.client
import itertools
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from clients import FINDERS, Site, comparable
from conftest import Before
from databases import POSTGRES, start_postgres, start_redis, told
from drill import Drill
from questions import STARTS, questions
from server_processes import START_TIMEOUT_S, ServerProcesses, program
from talking import ask, connect

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

ROUNDS = 4
PAUSE_S = 0.3  # of each client after what it does: two cores carry all of it, and the changes
MAY_DIFFER = {"used again": None}  # a worker that is replaced ends its idle connections
BETWEEN_S = 3.0  # for the load to go on before the next change


@dataclass
class Work:
    """Threads that do the same again and again until it is over, and what they noticed."""

    done: Counter[str] = field(default_factory=Counter)
    noticed: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def begin(self, name: str, act: Callable[[], None]) -> None:
        def again() -> None:
            while not self._is_over.is_set():
                try:
                    act()
                    self.done[name] += 1
                except Exception as error:
                    self.noticed.append(f"{name}: {type(error).__name__}: {error}"[:500])
                self._is_over.wait(PAUSE_S)

        self._threads.append(threading.Thread(target=again, name=name, daemon=True))
        self._threads[-1].start()

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(3 * START_TIMEOUT_S)
            assert not thread.is_alive(), thread.name


class Asking:
    """A client of one server that keeps its connection as long as it may."""

    def __init__(self, name: str, own: str, address: str) -> None:
        self._address = address
        self._asked = list(questions(name).items())
        self._expected = {what: ask(connect(own), asked)[0] for what, asked in self._asked}
        self._connection = connect(address)

    def __call__(self) -> None:
        for what, asked in self._asked:
            was_kept = self._connection.sock is not None
            try:
                found = ask(self._connection, asked)[0]
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # RFC 9112 section 9.6: a close may cross a request on a kept connection; clients send it again.
                self._connection = connect(self._address)
                if not was_kept:
                    raise
                found = ask(self._connection, asked)[0]
            # Apache, asked directly, frames a 416 by its length instead of chunks when it is its connection's hundredth reply.
            expected = replace(self._expected[what], is_chunked=found.is_chunked)
            if found != expected:
                raise AssertionError(f"{what}: {found} is not {expected}")


def test_nobody_notices_what_is_done_to_the_instance(processes: ServerProcesses, before: Before) -> None:
    web = {name: start(processes) for name, start in STARTS.items()}
    databases = {"postgres": start_postgres(processes), "redis": start_redis(processes)}
    processes.wait_for(web | databases)
    balance = before(
        web | databases,
        modes=dict.fromkeys(databases, "tcp"),
        shutdown={"delay": "0s", "restart_drain": "10m"},
    )
    own, behind = Site(web), Site(balance.addresses)
    work = Work()
    for name, address in web.items():
        work.begin(name, Asking(name, address, balance.addresses[name]))
    for find in FINDERS:
        expected = {**comparable(find(own), own), **MAY_DIFFER}

        def compare(find: Callable[[Site], dict[str, Any]] = find, expected: dict[str, Any] = expected) -> None:
            assert {**comparable(find(behind), behind), **MAY_DIFFER} == expected

        work.begin(find.__name__, compare)
    redis = [program("redis-cli"), "-h", "127.0.0.1", "-p", balance.addresses["redis"].rpartition(":")[2]]
    numbers = itertools.count(1)
    work.begin("redis-cli", lambda: _same(told([*redis, "incr", "n"]).strip(), str(next(numbers))))

    to = ["-h", "127.0.0.1", "-p", balance.addresses["postgres"].rpartition(":")[2], "-U", "postgres", "postgres"]
    pgbench = program("pgbench", *POSTGRES)
    told([pgbench, "--initialize", "--quiet", *to])
    work.begin("pgbench", lambda: _all_done(told([pgbench, "--client", "2", "--transactions", "20", "--connect", *to])))
    seconds = str(int(ROUNDS * 4 * BETWEEN_S))
    with subprocess.Popen([pgbench, "--client", "4", "--time", seconds, *to], stdout=subprocess.PIPE, text=True) as lasting:
        drill = Drill(balance.instance, Unloaded())
        for number in range(ROUNDS):
            for act in (
                lambda: drill.reload({"timeouts": {"connect": f"{number + 20}s"}}),  # noqa: B023  # called at once
                drill.restart,
                lambda: drill.reload({"timeouts": {"connect": f"{number + 40}s"}}),  # noqa: B023
                drill.upgrade,
            ):
                time.sleep(BETWEEN_S)
                act()
        time.sleep(BETWEEN_S)
        work.end()
        output, _ = lasting.communicate(timeout=2 * START_TIMEOUT_S)
    assert lasting.returncode == 0, output
    _all_done(output)
    assert not work.noticed, work.noticed[:5]
    assert len(work.done) == len(web) + len(FINDERS) + 2, work.done
    assert min(work.done.values()) > 5, work.done


class Unloaded:
    """The drill's own backends: none."""

    addresses: dict[str, str] = {}


def _same(found: str, expected: str) -> None:
    assert found == expected


def _all_done(output: str) -> None:
    assert "number of failed transactions: 0 " in output, output
