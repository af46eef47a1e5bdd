"""What the supervisor keeps for autoscalers, over restarts of control and upgrades: the keeper's socket, the last changes."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

FAREWELL_S: Final = 13.0  # the keeper gives its processes ten, then kills them
MAX_POOLS: Final = 10_000
Change = tuple[int, int, float, bool]  # see Remembered: desired, token, when, whether it was done


@dataclass(slots=True)
class AutoscalingState:
    """The keeper lives while anybody holds its socket; this is the one who holds it when control does not."""

    keeper_fd: int | None = None
    changes: dict[str, Change] = field(default_factory=dict)  # by pool

    def hold(self, fds: Iterable[int]) -> None:
        """Control has another keeper, or none."""
        self.close()
        found = list(fds)
        if found:
            self.keeper_fd = found.pop(0)
        for fd in found:
            os.close(fd)

    def remember(self, told: object) -> None:
        """Control says which change was made; it may have been taken over, so that only what fits is kept."""
        match told:
            case (str(pool), int(desired), int(token), float(at), bool(is_done)) if len(self.changes) < MAX_POOLS:
                self.changes[pool] = (desired, token, at, is_done)

    def close(self) -> None:
        """This process holds it no more."""
        if self.keeper_fd is not None:
            os.close(self.keeper_fd)
            self.keeper_fd = None

    def farewell(self, within_s: float = FAREWELL_S) -> None:
        """The instance ends: the keeper stops its processes. Waits until they have ended, so that nobody kills them before."""
        if self.keeper_fd is None:
            return
        ends_at = time.monotonic() + within_s
        with socket.socket(fileno=self.keeper_fd) as line, contextlib.suppress(OSError):
            self.keeper_fd = None
            line.shutdown(socket.SHUT_WR)  # for all who have a copy
            poll = select.poll()
            poll.register(line, select.POLLIN)
            while (left_s := ends_at - time.monotonic()) > 0 and poll.poll(left_s * 1000):
                if not line.recv(1 << 18):
                    return


def changes_of(dumped: Mapping[str, Iterable[object]]) -> dict[str, Change]:
    """What another version has dumped, as far as it is known here."""
    state = AutoscalingState()
    for pool, change in dumped.items():
        state.remember((pool, *change))
    return state.changes
