"""An instance without processes: answers orders with the real configuration code."""

import os
from collections.abc import Sequence

from balance.admin.state_view import StateView
from balance.admin.supervisor_orders import ChangeBackends, GenerationInfo, Order, OrderResult, Reload, ReloadResult, Stop
from balance.config.model import Config
from balance.config.overrides.difference import difference, summary
from balance.config.overrides.runtime_overrides import BackendChange
from balance.config.source import Kind, Source
from balance.errors import ConfigError
from balance.health.readiness import Stage
from balance.health.states import Event, State
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.snapshot import backend_slots

TEXT = """\
workers: 2
listeners: [{name: web, listen: "127.0.0.1:8080", pool: app}]
pools:
  app:
    backends: [{name: a1, address: "127.0.0.1:9001"}, {name: a2, address: "127.0.0.1:9002", weight: 2}]
  raw:
    backends: [{name: r1, address: "127.0.0.1:9003", metadata: {api-key: hush}}]
"""


ORDERED = {Event.DRAIN: State.DRAINING, Event.MAINTAIN: State.MAINTENANCE, Event.ENABLE: State.UNKNOWN}


class FakeInstance:
    """One instance whose configuration can change."""

    def __init__(self) -> None:
        self.source = Source(Kind.FILE, "test.yaml", TEXT)
        self.changes: tuple[BackendChange, ...] = ()
        self.asked: list[Order] = []
        config = self.source.load(env={}).loaded.config
        self._kept: list[tuple[Source, Config, str, str]] = [(self.source, config, "start", "")]
        self.number = 1
        board = Board(2, len(backend_slots(config)) + 1, max_slots=64)
        board.set_stage(Stage.SERVING)
        board.set_generation(1)
        for place, row in enumerate(board.rows, 1):
            row[counters.PID], row[counters.PLACE] = os.getpid(), place
        self.board = board
        self.view = StateView(
            config,
            backend_slots(config),
            board,
            os.getpid(),
            os.getpid(),
            500.0,
            [],
            lambda slot: None,
            self._order,
            self.submit_order,
            self.generations,
        )

    def _order(self, slot: int, event: Event, reason: str) -> State:
        state = ORDERED[event]
        self.board.set_state(slot, state, 1.0, reason)
        return state

    def generations(self) -> Sequence[GenerationInfo]:
        return [
            GenerationInfo(number, 1000.0 + number, origin, config, number == self.number, said)
            for number, (_, config, origin, said) in enumerate(self._kept, 1)
        ]

    async def submit_order(self, order: Order) -> OrderResult:
        self.asked.append(order)
        match order:
            case Reload(rollback=True, to=to):
                if self.number == 1:
                    return OrderResult(False, 1, problems=("there is no configuration before this one",))
                to = to or self.number - 1
                source, origin = self._kept[to - 1][0], f"rollback to {to}"
            case Reload(text=str(text)):
                source, origin = self.source.with_text(text), "admin API"
            case Reload():
                source, origin = self.source, "admin API"
            case ChangeBackends():
                source, origin = self._kept[self.number - 1][0], "admin API"
            case Stop():
                self.board.set_stage(Stage.DRAINING)
                return OrderResult(True, self.number, summary="draining")
            case _:
                return OrderResult(True, self.number, summary="begun")
        changes = order.changes if isinstance(order, ChangeBackends) else ()
        kept = () if isinstance(order, Reload) and order.discard_changes else self.changes
        try:
            changed = source.load([*kept, *changes], env={})
        except ConfigError as error:
            if not order.dry_run:
                self.board.count_reload(ReloadResult.FAILURE)
            return OrderResult(False, self.number, problems=tuple(map(str, error.problems)))
        config = changed.loaded.config
        lines = difference(self.view.config, config)
        if not order.dry_run and not lines:
            self.changes = tuple(changed.kept)
            self.board.count_reload(ReloadResult.UNCHANGED)
        elif not order.dry_run:
            self.changes = changed.kept
            self._kept.append((source, config, origin, summary(lines)))
            self.number = len(self._kept)
            slots = backend_slots(config)
            self.board.use_slots(len(slots) + 1)
            self.board.set_generation(self.number)
            self.board.count_reload(ReloadResult.SUCCESS)
            self.view.config, self.view.slots = config, slots
        return OrderResult(True, self.number, lines, dropped=changed.dropped, summary=summary(lines))
