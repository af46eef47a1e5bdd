"""The handover state that a replaced instance leaves to a new one."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from balance.process.ipc.pipe import pipe_pair
from balance.process.operations.upgrade_protocol import HandoverState
from balance.process.supervisor.shared_state import SharedState


def handover_state_from(before: SharedState, **changes: Any) -> HandoverState:
    """With generation 7, unless `changes` say otherwise."""
    end, other = pipe_pair()
    other.close()
    left: dict[str, Any] = {
        "predecessor_pipes": [end],
        "board_fd": os.dup(before.board.fd),
        "locks_fd": os.dup(before.locks.fileno()),
        "sockets": [],
        "owned_paths": [],
        "ephemeral_ports": {},
        "max_rows": before.board.max_rows,
        "max_slots": before.board.max_slots,
        "book": before.book.dump(),
        "generation": 7,
    }
    return HandoverState(**left | changes)


def descriptor_count(fd: int) -> int:
    """How many descriptors of this process refer to that file."""
    found = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the folder itself
            found += os.path.samestat(os.fstat(int(each)), os.fstat(fd))
    return found
