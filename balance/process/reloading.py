"""One reload: read, prepare in every process, commit in all of them or in none.

    LOADING ──▶ PREPARING ──▶ COMMITTING ──▶ over
       │ not good   │ refused, silent, no port
       └────────────┴─────────▶ over, and nothing has changed

The decision falls in one place: when everybody has prepared, estate.settle() makes the new configuration the one that every
child is born into. Who fails to follow after that is killed, and its successor has it.
"""

from __future__ import annotations

import enum
import logging
import os
import pickle
import time
from collections.abc import Callable

from balance.config.difference import difference, summary
from balance.errors import StartError
from balance.process.announcement import some
from balance.process.child import Child, Life
from balance.process.estate import Estate
from balance.process.generation import Generation
from balance.process.line import Message, packed
from balance.process.loading import Loaded, Wish, load
from balance.process.openings import Openings, Renewed, inode, reopen
from balance.process.words import (
    ABANDON,
    COMMIT,
    COMMITTED,
    LOADED,
    PREPARE,
    PREPARED,
    REFUSED,
    UNLOADABLE,
    Blueprint,
    Preparation,
)
from balance.runtime.slots import Assignment, NoRoomError
from balance.side.steering import ChangeBackends, Reload, Verdict

log = logging.getLogger("balance.process")

LOAD_S = 60.0
PREPARE_S = 20.0  # a worker that hangs is killed after 10 s, and its successor can still prepare
COMMIT_S = 10.0
NEVER = float("inf")
ELSEWHERE = "`balance upgrade` starts an instance that has it"


class Step(enum.Enum):
    LOADING = "loading"
    PREPARING = "preparing"
    COMMITTING = "committing"
    OVER = "over"


class Reloading:
    """See the module."""

    def __init__(self, estate: Estate, order: Reload | ChangeBackends, origin: str, answer: Callable[[Verdict], None]) -> None:
        """`origin` says who wants it; `answer` is called once, with what became of it."""
        self.deadline = NEVER
        self._estate = estate
        self._order = order
        self._origin = origin
        self._answer = answer
        self._step = Step.LOADING
        self._loader: Child | None = None
        self._awaited: set[Child] = set()  # who has not answered yet
        self._asked: dict[Child, frozenset[int]] = {}  # and which sockets it shall have
        self._generation: Generation | None = None
        self._assignment: Assignment | None = None
        self._openings: Openings | None = None
        self._renewed: Renewed | None = None
        self._blueprint = -1  # a file of memory
        self._lines: tuple[str, ...] = ()
        self._dropped: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self._step is Step.OVER

    # --- reading ----------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        wish = self._wish()
        if wish is None:
            self._fail(self._no_way_back())
            return
        self._loader = Child("loader")
        self.deadline = now + LOAD_S
        try:
            seat = self._estate.seat
            self._estate.staff.launch(self._loader, lambda report: load(wish, seat.openings, report, seat.supervisor_pid))
        except OSError as error:
            self._fail(f"cannot start the loader: {error.strerror}")

    def _wish(self) -> Wish | None:
        current = self._estate.seat.generation
        order = self._order
        if isinstance(order, ChangeBackends):
            return Wish(current.source, False, (*current.changes, *order.changes))
        changes = () if order.discard_changes else current.changes
        if order.rollback:
            before = self._estate.seat.before(order.to)
            if before is None:
                return None
            self._origin = f"rollback to {before.number}"
            return Wish(before.source, False, () if order.discard_changes else before.changes)
        if order.text is not None:
            return Wish(current.source.with_text(order.text), False, changes)
        return Wish(current.source, True, changes)

    def _no_way_back(self) -> str:
        seat, to = self._estate.seat, self._order.to if isinstance(self._order, Reload) else 0
        if not to:
            return "there is no configuration before this one, or none that differs, to go back to"
        known = ", ".join(str(generation.number) for generation in seat.history[:-1]) or "none"
        return f"there is no generation {to} to go back to; remembered before this one: {known}"

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
    def _number(self) -> int:
        assert self._generation is not None
        return self._generation.number

    def _loaded(self, loaded: Loaded, now: float) -> None:
        seat = self._estate.seat
        if isinstance(self._order, Reload) and not self._order.dry_run:
            for warning in some(loaded.warnings):
                log.warning("%s", warning)
        self._lines = difference(seat.config, loaded.config)
        self._dropped = loaded.dropped
        try:
            self._assignment = self._estate.book.assign(loaded.config, seat.board.is_unused)
        except NoRoomError as error:
            self._fail(f"{error}; {ELSEWHERE}")
            return
        most = seat.board.max_rows // 2
        if loaded.config.workers > most:
            self._fail(f"workers: {loaded.config.workers} are more than the {most} that there is room for here; {ELSEWHERE}")
            return
        self._generation = Generation(
            seat.generation.number + 1,
            loaded.config,
            self._assignment.slots,
            loaded.source,
            loaded.changes,
            time.time(),
            self._origin,
        )
        if self._order.dry_run:
            self._end(Verdict(True, seat.generation.number, self._lines, (), self._dropped, summary(self._lines)))
            return
        try:
            self._openings, self._renewed = reopen(loaded.config, seat.config, seat.openings, loaded.hosts)
        except StartError as error:
            self._fail(str(error))
            return
        self._prepare(now)

    # --- preparing --------------------------------------------------------------------------------------

    def _prepare(self, now: float) -> None:
        generation = self._generation
        assert generation is not None
        blueprint = Blueprint(
            generation.number, generation.config, dict(generation.slots), generation.made_at, generation.origin
        )
        try:
            self._blueprint = packed(pickle.dumps((PREPARE, blueprint), pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            self._fail(f"no file of memory for it: {error.strerror}")
            return
        self._step = Step.PREPARING
        self.deadline = now + PREPARE_S
        for post in self._estate.staff.posts:
            if post.child is not None and post.child.life is Life.READY:
                self._ask(post.child)
        self._go_on(now)

    def _ask(self, child: Child) -> None:
        """Have a child prepare."""
        assert self._openings is not None and self._generation is not None
        if child.slot is not None and child.slot >= self._generation.config.workers:
            return  # its post goes with this configuration
        listening = tuple((opening.listener, opening.address) for opening in self._openings.listeners)
        wanted = self._openings.of(child.slot)
        inodes = [inode(sock) for _, sock in wanted]
        new = [(number, sock) for number, (_, sock) in zip(inodes, wanted, strict=True) if number not in child.inodes]
        preparation = Preparation(
            self._number,
            tuple((name, number) for number, (name, _) in zip(inodes, wanted, strict=True)),
            tuple(number for number, _ in new),
            listening if child.slot is None else (),
        )
        self._asked[child] = frozenset(inodes)
        self._awaited.add(child)
        assert child.end is not None
        child.end.say(PREPARE, preparation, [self._blueprint, *(sock.fileno() for _, sock in new)])
        # One that takes no message gives no answer either: it is waited for until the deadline.
        child.inodes |= frozenset(inodes)

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
        if self._step is Step.PREPARING and self._estate.staff.is_ready:  # else a successor is still to prepare
            self._commit(now)
        elif self._step is Step.COMMITTING:
            self._finish()

    # --- committing -------------------------------------------------------------------------------------

    def _commit(self, now: float) -> None:
        estate, generation = self._estate, self._generation
        assert generation is not None and self._assignment is not None and self._openings is not None
        before = estate.seat
        estate.settle(generation, self._assignment, self._openings)
        self._step = Step.COMMITTING
        self.deadline = now + COMMIT_S
        lost = estate.staff.set_workers(generation.config.workers)
        for child in self._asked:
            if child.life is Life.READY and child not in lost:
                self._awaited.add(child)
                child.inodes = self._asked[child]
                child.say(COMMIT, self._number)
        estate.staff.finish(lost, before.config.restart_drain_s)
        for post in estate.staff.workers:
            if post.child is None and post.restart_at is None:
                post.restart_at = now  # a new post
        estate.logs_to(generation)
        self._go_on(now)

    def _finish(self) -> None:
        assert self._renewed is not None
        self._renewed.accept()
        told = summary(self._lines)
        for line in self._dropped:
            log.warning("%s", line)
        log.info("configuration %d is served (%s): %s", self._number, self._origin, told)
        for line in self._lines[:20]:
            log.info("%s", line)
        if isinstance(self._order, Reload):
            self._estate.seat.board.count_reload(True)
        self._end(Verdict(True, self._number, self._lines, (), self._dropped, told))

    def expired(self, now: float) -> None:
        if self._step is Step.COMMITTING:
            for child in self._awaited:
                log.error("%s (pid %d) did not follow to configuration %d: killing it", child.name, child.pid, self._number)
                child.kill()
            self.deadline = NEVER  # their departures end it
        elif self._step is Step.LOADING:
            self._fail(f"the configuration was not read, and the names that it listens on not resolved, within {LOAD_S:g}s")
        else:
            names = sorted(child.name for child in self._awaited) or [self._estate.staff.unready]
            self._fail(f"{', '.join(names)} did not answer within {PREPARE_S:g}s")

    def let_go(self) -> None:
        # A copy of a listening socket would keep its port open, for callers whom nobody hears, when all others have closed it.
        if self._renewed is not None:
            self._renewed.let_go(self._estate.seat.openings)
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
        number = self._estate.seat.generation.number
        if self._renewed is not None:
            self._renewed.undo()
            for child in self._asked:
                child.say(ABANDON, self._number)
                child.inodes &= frozenset(inode(sock) for _, sock in self._estate.seat.openings.of(child.slot))
        if not self._order.dry_run:
            if isinstance(self._order, Reload):
                self._estate.seat.board.count_reload(False)
            log.error("the configuration is not changed, configuration %d goes on (%s):", number, self._origin)
            for problem in problems[:50]:
                log.error("%s", problem)
        self._end(Verdict(False, number, (), problems, (), "nothing changed"))

    def _end(self, verdict: Verdict) -> None:
        self._step = Step.OVER
        self.deadline = NEVER
        if self._blueprint >= 0:
            os.close(self._blueprint)
            self._blueprint = -1
        if self._loader is not None:
            self._loader.kill()
        self._answer(verdict)
