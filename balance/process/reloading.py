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

from balance.config.difference import NOTHING_CHANGED
from balance.process.announcement import some
from balance.process.candidate import Candidate, UnfitError, judged, wished
from balance.process.child import Child, Life
from balance.process.estate import Estate
from balance.process.line import Message, packed
from balance.process.loading import Loaded, load
from balance.process.openings import inode
from balance.process.words import ABANDON, COMMIT, COMMITTED, LOADED, PREPARE, PREPARED, REFUSED, UNLOADABLE
from balance.side.steering import ChangeBackends, Reload, ReloadResult, Verdict

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
        self._found: Candidate | None = None  # from PREPARING on
        self._blueprint = -1  # a file of memory

    @property
    def is_over(self) -> bool:
        return self._step is Step.OVER

    # --- reading ----------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        try:
            wish, self._origin = wished(self._order, self._estate.seat, self._origin)
        except UnfitError as error:
            self._fail(str(error))
            return
        self._loader = Child("loader")
        self.deadline = now + LOAD_S
        try:
            seat = self._estate.seat
            self._estate.staff.launch(self._loader, lambda report: load(wish, seat.openings, report, seat.supervisor_pid))
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
    def _candidate(self) -> Candidate:
        assert self._found is not None
        return self._found

    @property
    def _number(self) -> int:
        return self._candidate.number

    def _loaded(self, loaded: Loaded, now: float) -> None:
        if isinstance(self._order, Reload) and not self._order.dry_run:
            for warning in some(loaded.warnings):
                log.warning("%s", warning)
        try:
            proposal = judged(loaded, self._estate, self._origin)
            if self._order.dry_run:
                self._end(proposal.verdict(self._estate.seat.generation.number))
                return
            self._found = proposal.opened(self._estate.seat)
        except UnfitError as error:
            self._fail(str(error))
            return
        if self._found.is_served(self._estate.seat):
            self._keep()
        else:
            self._prepare(now)

    def _keep(self) -> None:
        """There is nothing to change."""
        candidate, number = self._candidate, self._estate.seat.generation.number
        candidate.renewed.undo()
        self._estate.keep(candidate.generation)
        self._tell_dropped()
        log.info("%s, configuration %d goes on (%s)", NOTHING_CHANGED, number, self._origin)
        self._count(ReloadResult.UNCHANGED)
        self._end(candidate.verdict(number))

    # --- preparing --------------------------------------------------------------------------------------

    def _prepare(self, now: float) -> None:
        try:
            self._blueprint = packed(pickle.dumps((PREPARE, self._candidate.blueprint), pickle.HIGHEST_PROTOCOL))
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
        if child.slot is not None and child.slot >= self._candidate.generation.config.workers:
            return  # its post goes with this configuration
        preparation, new = self._candidate.preparation(child)
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
        if self._step is Step.PREPARING and self._estate.staff.is_ready:  # else a successor is still to prepare
            self._commit(now)
        elif self._step is Step.COMMITTING:
            self._finish()

    # --- committing -------------------------------------------------------------------------------------

    def _commit(self, now: float) -> None:
        estate, candidate = self._estate, self._candidate
        generation = candidate.generation
        before = estate.seat
        estate.settle(generation, candidate.assignment, candidate.openings)
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
        candidate = self._candidate
        candidate.renewed.accept()
        self._tell_dropped()
        log.info("configuration %d is served (%s): %s", candidate.number, self._origin, candidate.summary)
        for line in candidate.lines[:20]:
            log.info("%s", line)
        self._count(ReloadResult.SUCCESS)
        self._end(candidate.verdict(candidate.number))

    def _tell_dropped(self) -> None:
        for line in self._candidate.dropped:
            log.warning("%s", line)

    def _count(self, result: ReloadResult) -> None:
        """What is changed at run time is no reload."""
        if isinstance(self._order, Reload):
            self._estate.seat.board.count_reload(result)

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
        if self._found is not None:
            self._found.renewed.let_go(self._estate.seat.openings)
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
        if self._found is not None:
            self._found.renewed.undo()
            for child in self._asked:
                child.say(ABANDON, self._number)
                child.inodes &= frozenset(inode(sock) for _, sock in self._estate.seat.openings.of(child.slot))
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
