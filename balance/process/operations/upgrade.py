"""An upgrade: the same command is started again, from what is installed now; when its workers accept, ours drain."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping

from balance.admin.supervisor_orders import Verdict
from balance.process.children.child import Child, ChildState, Report
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.pipe import Message
from balance.process.operations.upgrade_protocol import HandoverState, execute, hand_over

log = logging.getLogger("balance.process")

START_S = 60.0  # a large configuration, a cold disk
NEVER = float("inf")


class UpgradeOperation:
    """Until the new instance is ready or has failed; what follows is the supervisor's."""

    def __init__(
        self,
        supervisor_state: SupervisorState,
        origin: str,
        environment: Mapping[str, str],
        handover_state: HandoverState | None,
        answer: Callable[[Verdict], None],
        yield_to: Callable[[Child], None],
    ) -> None:
        """`environment` is what the new instance needs to find in its own; `legacy` is what this one was left with.
        `yield_to` is called when the new one is ready."""
        self.deadline = NEVER
        self.is_over = False
        self._supervisor_state = supervisor_state
        self._origin = origin
        self._environment = environment
        self._handover_state = handover_state
        self._answer = answer
        self._yield_to = yield_to
        self._successor = Child("the new instance")

    def begin(self, now: float) -> None:
        if os.getpid() == 1:
            self._fail("an upgrade would end process 1, and with it this container; start another container instead")
            return
        log.info("starting a new instance to take over (%s)", self._origin)
        self.deadline = now + START_S
        try:
            self._supervisor_state.process_table.launch(self._successor, self._become)
        except OSError as error:
            self._fail(f"cannot start the new instance: {error.strerror}")
            return
        assert self._successor.end is not None
        elders = self._handover_state.living() if self._handover_state is not None else ()
        if not hand_over(self._successor.end, self._supervisor_state, self._supervisor_state.any_port(), elders):
            self._fail("the new instance takes nothing over")

    def _become(self, report: Report) -> int:
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_DFL)  # what is ignored stays ignored over exec
        execute(report.end, self._environment)
        return 1

    def heard(self, child: Child, message: Message, now: float) -> None:
        """Nothing is said that matters here."""

    def became_ready(self, child: Child, now: float) -> None:
        if child is self._successor and not self.is_over:  # else it is killed already, whatever it had still to say
            self._end(
                Verdict(True, self._supervisor_state.context.generation.number, summary=f"process {child.pid} has taken over")
            )
            self._yield_to(child)

    def departed(self, child: Child, words: str, now: float) -> None:
        if child is self._successor:
            self._fail(words if child.complaint else f"{words}; why is in the log of the instance")

    def expired(self, now: float) -> None:
        self._fail(f"the new instance was not ready within {START_S:g}s")

    def let_go(self) -> None:
        """Nothing is open that a child should not have."""

    def give_up(self, why: str) -> None:
        self._fail(why)

    def _fail(self, why: str) -> None:
        if self.is_over:
            return
        if self._successor.life is not ChildState.GONE:
            self._successor.kill()
            with contextlib.suppress(ChildProcessError):  # nobody is left to wait for
                os.waitid(os.P_PID, self._successor.pid, os.WEXITED | os.WNOWAIT)  # it writes nothing after this
        self._supervisor_state.reassert()
        log.error("the upgrade is broken off, this instance goes on: %s", why)
        self._end(Verdict(False, self._supervisor_state.context.generation.number, problems=(why,)))

    def _end(self, verdict: Verdict) -> None:
        self.is_over = True
        self.deadline = NEVER
        self._answer(verdict)
