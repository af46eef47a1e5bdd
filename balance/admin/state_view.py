"""The read-only view of the running instance that the admin endpoints use. Reading it never blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from balance.admin.autoscaling.state import AutoscalerView
from balance.admin.dashboard.state.recorder import Recorder
from balance.admin.discovery import DiscoveryView, why_nobody
from balance.admin.events.history import EventLog
from balance.admin.metrics.totals import Totals
from balance.admin.supervisor_orders import FailedReload, GenerationInfo, Order, OrderResult, ReloadResult
from balance.config.model import BackendConfig, Config, PoolConfig
from balance.health.circuit_breaker import Cells
from balance.health.readiness import PoolStates, Stage, Worker
from balance.health.states import Event, State
from balance.model import Address
from balance.probes.result import Result
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER, NOBODY
from balance.security.key_set import KeyStates

MAX_FAILED_RELOADS = 20


class Ejection(Protocol):
    """A backend's ejections."""

    @property
    def total(self) -> int: ...
    @property
    def until_us(self) -> int: ...


class Board(Protocol):
    """The shared memory, as far as it is read here."""

    @property
    def rows(self) -> Sequence[memoryview]: ...
    @property
    def blocks(self) -> memoryview: ...
    @property
    def stage(self) -> Stage: ...
    @property
    def worker_restarts(self) -> int: ...
    @property
    def connections_lost(self) -> int: ...
    @property
    def control_restarts(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def generation(self) -> int: ...
    def reloads(self, result: ReloadResult) -> int: ...
    @property
    def last_reload(self) -> ReloadResult | None: ...
    @property
    def states_changed_us(self) -> int: ...
    def state(self, slot: int) -> tuple[State, float]: ...
    def reason(self, slot: int) -> str: ...
    def ejection(self, slot: int) -> Ejection: ...
    def evidence(self, slot: int) -> Cells: ...
    @property
    def time_buckets_us(self) -> tuple[int, ...]: ...
    def admin_refusals(self, reason: int) -> int: ...
    def count_admin_refusal(self, reason: int) -> None: ...
    @property
    def cpu_told_us(self) -> int: ...
    def tell_cpu_us(self, us: int) -> None: ...
    def last_hit(self, slot: int) -> int: ...
    def set_last_hit(self, slot: int, at: float) -> None: ...


class BackendView(NamedTuple):
    """One backend with its state."""

    pool: PoolConfig
    backend: BackendConfig
    slot: int
    state: State
    since: float  # seconds since the epoch, 0.0 when nothing was ever decided


async def refuse_order(order: Order) -> OrderResult:
    """Refuses every order: for an instance without a supervisor."""
    return OrderResult(False, 0, problems=("this instance takes no such order",))


@dataclass(slots=True)
class StateView:
    """A reload replaces `config`, `slots` and `listening`: read them anew for each response."""

    config: Config
    slots: Mapping[tuple[str, str], int]
    board: Board
    supervisor_pid: int
    control_pid: int
    started_at: float  # seconds since the epoch
    listening: Sequence[tuple[str, Address]]  # (listener, address as bound: the port is never 0)
    last_result: Callable[[int], Result | None]  # by slot: what the last probe answered
    apply_admin_event: Callable[[int, Event, str], State]  # an operator's event for a slot, and its reason; returns the state
    submit_order: Callable[[Order], Awaitable[OrderResult]] = refuse_order  # to the supervisor
    generations: Callable[[], Sequence[GenerationInfo]] = tuple  # the history, oldest first
    events: EventLog = field(default_factory=EventLog)
    key_states: Callable[[], KeyStates] = dict  # what is known of keys of tokens by URL
    autoscalers: Callable[[], Sequence[AutoscalerView]] = tuple  # those of pools that have one
    discovery: Callable[[], Mapping[str, DiscoveryView]] = dict  # by pool
    names: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # (pool, backend) by slot, removed ones included
    shared: dict[str, object] = field(default_factory=dict)  # what the servers on this view have in common
    failed_reloads: deque[FailedReload] = field(default_factory=lambda: deque(maxlen=MAX_FAILED_RELOADS))  # oldest first
    traffic: Recorder = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = Recorder(self.board)

    def backends(self) -> Iterator[BackendView]:
        """Every backend of every pool, in the order of the configuration."""
        for pool in self.config.pools:
            for backend in pool.backends:
                slot = self.slots[pool.name, backend.name]
                yield BackendView(pool, backend, slot, *self.board.state(slot))

    def clients(self, listener: str, totals: Totals) -> int:
        """The listener's client connections, over all workers."""
        slot = self.slots.get((LISTENER, listener), NOBODY)
        return totals.cell(counters.block(slot) + counters.ACTIVE) if slot else 0

    def pool_states(self) -> list[PoolStates]:
        """The input of the readiness decision."""
        found = self.discovery() if any(pool.discovery is not None for pool in self.config.pools) else {}
        return [
            PoolStates(
                pool.name,
                pool.health_check.enabled,
                [self.board.state(self.slots[pool.name, backend.name])[0] for backend in pool.backends if backend.weight],
                *([why_nobody(pool, found.get(pool.name))] if not pool.backends else []),
            )
            for pool in self.config.pools
        ]

    def workers(self) -> list[Worker]:
        """The input of the liveness decision: the worker in each slot; pid 0 where there is none.

        Of two workers in a slot, as during an upgrade, the one with the latest heartbeat.
        """
        found = [Worker(0, 0)] * self.config.workers
        for row in self.board.rows:
            place = row[counters.PLACE]
            if 0 < place <= len(found) and not row[counters.LEAVING] and row[counters.BEAT_US] >= found[place - 1].heartbeat_us:
                found[place - 1] = Worker(row[counters.PID], row[counters.BEAT_US])
        return found

    def worker_rows(self) -> list[tuple[int, memoryview | None]]:
        """Every worker's number and row, draining ones last; None for an empty slot."""
        rows = sorted(
            (row for row in self.board.rows if row[counters.PLACE]),
            key=lambda row: (row[counters.LEAVING], row[counters.PLACE], row[counters.BEAT_US]),
        )
        staying = {row[counters.PLACE] - 1: row for row in rows if not row[counters.LEAVING]}
        numbers = sorted({*range(self.config.workers), *staying})
        return [(number, staying.get(number)) for number in numbers] + [
            (row[counters.PLACE] - 1, row) for row in rows if row[counters.LEAVING]
        ]

    def pids(self) -> list[int]:
        """Every live process of this instance."""
        workers = (row[counters.PID] for _, row in self.worker_rows() if row is not None)
        return [self.supervisor_pid, self.control_pid, *(pid for pid in workers if pid)]
