"""One reload: read, prepare in every process, commit in all of them or in none.

    LOADING ──▶ PREPARING ──▶ COMMITTING ──▶ over
       │ not good,  │ refused, silent, no port
       │ no news    │
       └────────────┴─────────▶ over, and nothing has changed

What would be served may be served already, as after a comment was changed: then nobody is asked for anything, and the
configuration keeps its number.

The decision falls in one place: when everybody has prepared, estate.settle() makes the new configuration the one that every
child is born into. Who fails to follow after that is killed, and its successor has it. Which configuration it may be is the
business of `candidate`.
"""

from __future__ import annotations

import enum
import logging
import os
import pickle
from collections.abc import Callable

from balance.admin.supervisor_orders import ChangeBackends, Reload, ReloadResult, Verdict
from balance.config.overrides.difference import NOTHING_CHANGED
from balance.process.children.child import Child, ChildState
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.messages import ABANDON, COMMIT, COMMITTED, LOADED, PREPARE, PREPARED, REFUSED, UNLOADABLE
from balance.process.ipc.pipe import Message, packed
from balance.process.operations.load_config import Loaded, load
from balance.process.operations.new_config import NewConfig, UnfitError, judged, wished
from balance.process.operations.startup_log import some
from balance.process.sockets.listen_sockets import inode

log = logging.getLogger("balance.process")

LOAD_S = 60.0
PREPARE_S = 20.0  # a worker that hangs is killed after 10 s, and its successor can still prepare
COMMIT_S = 10.0
NEVER = float("inf")


class Step(enum.Enum):
    LOADING = "loading"
    PREPARING = "preparing"
    COMMITTING = "committing"
    OVER = "over"


class ReloadOperation:
    """See the module."""

    def __init__(
        self, supervisor_state: SupervisorState, order: Reload | ChangeBackends, origin: str, answer: Callable[[Verdict], None]
    ) -> None:
        """`origin` says who wants it; `answer` is called once, with what became of it."""
        self.deadline = NEVER
        self._supervisor_state = supervisor_state
        self._order = order
        self._origin = origin
        self._answer = answer
        self._step = Step.LOADING
        self._loader: Child | None = None
        self._awaited: set[Child] = set()  # who has not answered yet
        self._asked: dict[Child, frozenset[int]] = {}  # and which sockets it shall have
        self._found: NewConfig | None = None  # from PREPARING on
        self._blueprint = -1  # a file of memory

    @property
    def is_over(self) -> bool:
        return self._step is Step.OVER

    # --- reading ----------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        try:
            request, self._origin = wished(self._order, self._supervisor_state.context, self._origin)
        except UnfitError as error:
            self._fail(str(error))
            return
        self._loader = Child("loader")
        self.deadline = now + LOAD_S
        try:
            context = self._supervisor_state.context
            self._supervisor_state.process_table.launch(
                self._loader, lambda report: load(request, context.listen_sockets, report, context.supervisor_pid)
            )
        except OSError as error:
            self._fail(f"cannot start the loader: {error.strerror}")

    def heard(self, child: Child, message: Message, now: float) -> None:
        if child is self._loader:
            self._loader = None  # it ends by itself
            if self._step is Step.LOADING:
                if message.kind == UNLOADABLE:
                    self._fail(*message.data)
                elif message.kind == LOADED:
                    self._loaded(message.data, now)
        elif message.kind == PREPARED and self._step is Step.PREPARING and message.data == self._number:
            self._awaited.discard(child)
            self._go_on(now)
        elif message.kind == REFUSED and self._step is Step.PREPARING and message.data[0] == self._number:
            self._fail(f"{child.name}: {message.data[1]}")
        elif message.kind == COMMITTED and self._step is Step.COMMITTING and message.data == self._number:
            self._awaited.discard(child)
            self._go_on(now)

    @property
    def _new_config(self) -> NewConfig:
        assert self._found is not None
        return self._found

    @property
    def _number(self) -> int:
        return self._new_config.number

    def _loaded(self, loaded: Loaded, now: float) -> None:
        if isinstance(self._order, Reload) and not self._order.dry_run:
            for warning in some(loaded.warnings):
                log.warning("%s", warning)
        try:
            proposal = judged(loaded, self._supervisor_state, self._origin)
            if self._order.dry_run:
                self._end(proposal.verdict(self._supervisor_state.context.generation.number))
                return
            self._found = proposal.opened(self._supervisor_state.context)
        except UnfitError as error:
            self._fail(str(error))
            return
        if self._found.is_served(self._supervisor_state.context):
            self._keep()
        else:
            self._prepare(now)

    def _keep(self) -> None:
        """There is nothing to change."""
        new_config, number = self._new_config, self._supervisor_state.context.generation.number
        new_config.renewed.undo()
        self._supervisor_state.keep(new_config.generation)
        self._tell_dropped()
        log.info("%s, configuration %d goes on (%s)", NOTHING_CHANGED, number, self._origin)
        self._count(ReloadResult.UNCHANGED)
        self._end(new_config.verdict(number))

    # --- preparing --------------------------------------------------------------------------------------

    def _prepare(self, now: float) -> None:
        try:
            self._blueprint = packed(pickle.dumps((PREPARE, self._new_config.blueprint), pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            self._fail(f"no file of memory for it: {error.strerror}")
            return
        self._step = Step.PREPARING
        self.deadline = now + PREPARE_S
        for child_slot in self._supervisor_state.process_table.child_slots:
            if child_slot.child is not None and child_slot.child.life is ChildState.READY:
                self._ask(child_slot.child)
        self._go_on(now)

    def _ask(self, child: Child) -> None:
        """Have a child prepare."""
        if child.slot is not None and child.slot >= self._new_config.generation.config.workers:
            return  # its post goes with this configuration
        preparation, new = self._new_config.preparation(child)
        self._asked[child] = inodes = frozenset(number for _, number in preparation.sockets)
        self._awaited.add(child)
        assert child.end is not None
        child.end.say(PREPARE, preparation, [self._blueprint, *(sock.fileno() for sock in new)])
        # One that takes no message gives no answer either: it is waited for until the deadline.
        child.inodes |= inodes

    def became_ready(self, child: Child, now: float) -> None:
        """Somebody was born into the old configuration, in place of one that died meanwhile."""
        if self._step is Step.PREPARING:
            self._ask(child)

    def departed(self, child: Child, words: str, now: float) -> None:
        self._awaited.discard(child)
        if child is self._loader:
            self._loader = None
            self._fail(words)
        else:
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        if self._awaited:
            return
        if (
            self._step is Step.PREPARING and self._supervisor_state.process_table.is_ready
        ):  # else a successor is still to prepare
            self._commit(now)
        elif self._step is Step.COMMITTING:
            self._finish()

    # --- committing -------------------------------------------------------------------------------------

    def _commit(self, now: float) -> None:
        supervisor_state, new_config = self._supervisor_state, self._new_config
        generation = new_config.generation
        before = supervisor_state.context
        supervisor_state.settle(generation, new_config.assignment, new_config.listen_sockets)
        self._step = Step.COMMITTING
        self.deadline = now + COMMIT_S
        lost = supervisor_state.process_table.set_workers(generation.config.workers)
        for child in self._asked:
            if child.life is ChildState.READY and child not in lost:
                self._awaited.add(child)
                child.inodes = self._asked[child]
                child.say(COMMIT, self._number)
        supervisor_state.process_table.finish(lost, before.config.restart_drain_s)
        for child_slot in supervisor_state.process_table.workers:
            if child_slot.child is None and child_slot.restart_at is None:
                child_slot.restart_at = now  # a new post
        supervisor_state.logs_to(generation)
        self._go_on(now)

    def _finish(self) -> None:
        new_config = self._new_config
        new_config.renewed.accept()
        self._tell_dropped()
        log.info("configuration %d is served (%s): %s", new_config.number, self._origin, new_config.summary)
        for line in new_config.lines[:20]:
            log.info("%s", line)
        self._count(ReloadResult.SUCCESS)
        self._end(new_config.verdict(new_config.number))

    def _tell_dropped(self) -> None:
        for line in self._new_config.dropped:
            log.warning("%s", line)

    def _count(self, result: ReloadResult) -> None:
        """What is changed at run time is no reload."""
        if isinstance(self._order, Reload):
            self._supervisor_state.context.board.count_reload(result)

    def expired(self, now: float) -> None:
        if self._step is Step.COMMITTING:
            for child in self._awaited:
                log.error("%s (pid %d) did not follow to configuration %d: killing it", child.name, child.pid, self._number)
                child.kill()
            self.deadline = NEVER  # their departures end it
        elif self._step is Step.LOADING:
            self._fail(f"the configuration was not read, and the names that it listens on not resolved, within {LOAD_S:g}s")
        else:
            names = sorted(child.name for child in self._awaited) or [self._supervisor_state.process_table.unready]
            self._fail(f"{', '.join(names)} did not answer within {PREPARE_S:g}s")

    def let_go(self) -> None:
        # A copy of a listening socket would keep its port open, for callers whom nobody hears, when all others have closed it.
        if self._found is not None:
            self._found.renewed.let_go(self._supervisor_state.context.listen_sockets)
        if self._blueprint >= 0:
            os.close(self._blueprint)

    def give_up(self, why: str) -> None:
        if self._step is Step.COMMITTING:
            self._finish()
        else:
            self._fail(why)

    def _fail(self, *problems: str) -> None:
        """Nothing has changed: take back what was prepared, and say why."""
        if self.is_over:
            return
        number = self._supervisor_state.context.generation.number
        if self._found is not None:
            self._found.renewed.undo()
            for child in self._asked:
                child.say(ABANDON, self._number)
                child.inodes &= frozenset(
                    inode(sock) for _, sock in self._supervisor_state.context.listen_sockets.of(child.slot)
                )
        if not self._order.dry_run:
            self._count(ReloadResult.FAILURE)
            log.error("the configuration is not changed, configuration %d goes on (%s):", number, self._origin)
            for problem in problems[:50]:
                log.error("%s", problem)
        self._end(Verdict(False, number, (), problems, (), NOTHING_CHANGED))

    def _end(self, verdict: Verdict) -> None:
        self._step = Step.OVER
        self.deadline = NEVER
        if self._blueprint >= 0:
            os.close(self._blueprint)
            self._blueprint = -1
        if self._loader is not None:
            self._loader.kill()
        self._answer(verdict)
