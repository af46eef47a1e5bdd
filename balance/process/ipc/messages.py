"""What the supervisor and its children say to each other over their lines: the kinds of messages, and what goes with them.

child -> supervisor   READY | FAILED complaint                     once, see `child`
                      PREPARED n | REFUSED (n, why) | COMMITTED n  see `reloading`
                      LOADED Loaded | UNLOADABLE lines             the loader
                      ORDER (id, Order) | FILE_CHANGED             control
supervisor -> child   END seconds
                      PREPARE Preparation | COMMIT n | ABANDON n
                      REOPEN
                      VERDICT (id, Verdict) | REASSERT | FOLLOW    to control
"""

from __future__ import annotations

from dataclasses import dataclass

from balance.config.model import Config
from balance.model import Address

HANDOVER_ENV = "BALANCE_HANDOVER"  # in the environment of one that takes over: the number of the descriptor of its line

READY, FAILED = "ready", "failed"
GRACEFUL_STOP = "end"  # finish what you do within so many seconds, and exit
PREPARE, PREPARED, REFUSED = "prepare", "prepared", "refused"
COMMIT, COMMITTED, ABORT = "commit", "committed", "abandon"
REOPEN_LOGS = "reopen"  # the logs, for their files may have been moved away
LOADED, LOAD_FAILED = "loaded", "unloadable"
ORDER, ORDER_RESULT, FILE_CHANGED = "order", "verdict", "file changed"
NO_DESCRIPTORS = "there is no room for the descriptors that come with it; raise `ulimit -Hn`"
REREAD_STATES = "follow"  # the instance before this one has written on the board until now: that holds
REWRITE_STATES = "reassert"  # another instance has written on the board, and is gone: write again what you know


@dataclass(frozen=True, slots=True)
class ConfigUpdate:
    """What every child needs to know of a configuration that may come."""

    number: int
    config: Config
    slots: dict[tuple[str, str], int]
    made_at: float
    origin: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class PrepareRequest:
    """What only this child needs to know. Its new sockets come in this order, behind the blueprint's file."""

    number: int
    sockets: tuple[tuple[str, int], ...]  # (listener, inode) of each that it shall accept from
    new: tuple[int, ...]  # the inodes of those that come with this message
    listening: tuple[tuple[str, Address], ...] = ()  # for control: what all listen on
