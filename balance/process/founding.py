"""How an instance is founded: all that its processes share, and what each of them is right after the fork.

What the supervisor makes of it afterwards is in `supervisor`; what is shared may be gone on with from an instance before.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence

from balance.config.model import Config
from balance.config.source import Source
from balance.process import logs, worker
from balance.process.channel import Channel
from balance.process.child import Child, Report
from balance.process.estate import Estate
from balance.process.generation import Generation
from balance.process.handover import Legacy
from balance.process.ledger import ledger
from balance.process.openings import Openings, inode
from balance.process.seat import Seat
from balance.process.staff import Staff
from balance.process.tenancy import Tenancy


class Founding:
    """One per instance. `estate` is what the supervisor holds from now on; nobody is born yet."""

    estate: Estate

    def __init__(
        self,
        config: Config,
        source: Source,
        openings: Openings,
        selector: selectors.BaseSelector,
        let_go: Sequence[Callable[[], object]],
        legacy: Legacy | None = None,
        *,
        is_watched: bool = False,
    ) -> None:
        """`let_go` is called in every child first: it closes what only the supervisor may hold. `legacy` is what another
        instance has left, which this one takes the place of. `is_watched`: a change of the file is a reload."""
        self._let_go_of = let_go
        self._legacy = legacy
        lifeline, self._lifeline_end = os.pipe()
        made = ledger(config, legacy)
        number = 1 if legacy is None else legacy.generation + 1
        changes = () if legacy is None else tuple(legacy.changes)
        origin = "start" if legacy is None else "upgrade"
        generation = Generation(number, config, made.assignment.slots, source, changes, time.time(), origin)
        seat = Seat(
            history=(),
            board=made.board,
            locks=made.locks,
            openings=openings,
            channels=tuple(Channel() for _ in range(made.board.max_rows)),
            lifeline=lifeline,
            supervisor_pid=os.getpid(),
            started_at=time.time(),
            names={},
            control_restarts=made.board.control_restarts,
            is_watched=is_watched,
        )
        staff = Staff(
            config.workers,
            self._be_worker,
            self._be_control,
            selector,
            Tenancy(made.board, made.locks),
            self._inodes,
            self._let_go,
        )
        self.estate = Estate(seat, staff, made.book, _log_as)
        self.estate.settle(generation, made.assignment, openings)

    def _inodes(self, slot: int | None) -> frozenset[int]:
        return frozenset(inode(sock) for _, sock in self.estate.seat.openings.of(slot))

    # --- in the child, right after the fork ---------------------------------------------------------

    def _be_worker(self, child: Child, report: Report) -> int:
        assert child.slot is not None and child.row is not None
        return worker.run(self.estate.seat, child.slot, child.row, report)

    def _be_control(self, child: Child, report: Report) -> int:
        # Imported here, so that no worker carries the side doors' libraries.
        from balance.process import control

        return control.run(self.estate.seat, report)

    def _let_go(self, name: str) -> None:
        """Close what only the supervisor may hold; its end of the lifeline above all."""
        os.close(self._lifeline_end)
        if self._legacy is not None:
            self._legacy.hang_up()
        for let_go in self._let_go_of:
            let_go()
        logs.speak_as(self.estate.seat.config.logging, name)


def _log_as(generation: Generation) -> None:
    """Speak as that configuration says, from now on."""
    logs.reopen(generation.config.logging)
