"""An upgrade (as nginx's binary upgrade, SIGUSR2): executes the same command anew; once the new workers accept, ours drain."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping

from balance.admin.supervisor_orders import OrderResult
from balance.process.children.child import Child, ChildState, SupervisorPipe
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.pipe import Message
from balance.process.operations.upgrade_protocol import HandoverState, exec_same_command, hand_over

log = logging.getLogger("balance.process")

START_TIMEOUT_S = 60.0  # a large configuration, a cold disk
NEVER = float("inf")


class UpgradeOperation:
    """Runs until the new instance is ready or has failed; draining afterwards is the supervisor's."""

    def __init__(
        self,
        supervisor_state: SupervisorState,
        origin: str,
        environment: Mapping[str, str],
        handover_state: HandoverState | None,
        on_result: Callable[[OrderResult], None],
        on_taken_over: Callable[[Child], None],
    ) -> None:
        """`environment` is added to the new instance's own; `handover_state` is what this instance itself took over.
        `on_taken_over` is called when the new instance is ready.
        """
        self.deadline = NEVER
        self.is_over = False
        self._supervisor_state = supervisor_state
        self._origin = origin
        self._environment = environment
        self._handover_state = handover_state
        self._on_result = on_result
        self._on_taken_over = on_taken_over
        self._successor = Child("the new instance")

    def start(self, now: float) -> None:
        if os.getpid() == 1:
            self._fail("an upgrade would end process 1, and with it this container; start another container instead")
            return
        log.info("starting a new instance to take over (%s)", self._origin)
        self.deadline = now + START_TIMEOUT_S
        try:
            self._supervisor_state.process_table.fork_child(self._successor, self._exec_new_instance)
        except OSError as error:
            self._fail(f"cannot start the new instance: {error.strerror}")
            return
        assert self._successor.pipe_end is not None
        draining_predecessors = self._handover_state.live_predecessors() if self._handover_state is not None else ()
        if not hand_over(
            self._successor.pipe_end, self._supervisor_state, self._supervisor_state.ephemeral_ports(), draining_predecessors
        ):
            self._fail("the new instance takes nothing over")

    def _exec_new_instance(self, supervisor_pipe: SupervisorPipe) -> int:
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_DFL)  # ignored signals stay ignored over exec(2)
        exec_same_command(supervisor_pipe.pipe_end, self._environment)
        return 1

    def on_message(self, child: Child, message: Message, now: float) -> None:
        """No message concerns an upgrade."""

    def on_ready(self, child: Child, now: float) -> None:
        if child is self._successor and not self.is_over:  # else it is killed already
            self.is_over = True
            self._on_taken_over(child)  # first: who reads the result may give the next order at once, and to the new instance
            number = self._supervisor_state.context.generation.number
            self._complete(OrderResult(True, number, summary=f"process {child.pid} has taken over"))

    def on_exit(self, child: Child, description: str, now: float) -> None:
        if child is self._successor:
            self._fail(description if child.failure_reason else f"{description}; why is in the log of the instance")

    def on_deadline(self, now: float) -> None:
        self._fail(f"the new instance was not ready within {START_TIMEOUT_S:g}s")

    def after_fork_in_child(self) -> None:
        """It opens no descriptors that children must close."""

    def abort(self, why: str) -> None:
        self._fail(why)

    def _fail(self, why: str) -> None:
        if self.is_over:
            return
        if self._successor.state is not ChildState.EXITED:
            self._successor.kill()
            with contextlib.suppress(ChildProcessError):  # already reaped
                os.waitid(os.P_PID, self._successor.pid, os.WEXITED | os.WNOWAIT)  # it can no longer write to shared memory
        self._supervisor_state.restore_shared_state()
        log.error("the upgrade is broken off, this instance goes on: %s", why)
        self._complete(OrderResult(False, self._supervisor_state.context.generation.number, problems=(why,)))

    def _complete(self, order_result: OrderResult) -> None:
        self.is_over = True
        self.deadline = NEVER
        self._on_result(order_result)
