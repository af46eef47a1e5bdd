"""The messages between the supervisor and its children: their kinds, and the data of each.

child -> supervisor   READY | FAILED reason                      once, see `child`
                      PREPARED n | REFUSED (n, why) | COMMITTED n  reload, two-phase commit
                      LOADED Loaded | LOAD_FAILED lines          from the loader
                      ORDER (id, Order) | FILE_CHANGED | LIST_CHANGED | CERTIFICATE_CHANGED  from control
                      KEYS KeyStates             from control, passed on to workers
                      KEYS_WANTED JwksSource     from workers, passed on to control
                      KEEPER, with the keeper's socket or without | SCALED (pool, *Change)     from control
                      FOUND_FILE (path, content, failure)        from the file watcher, passed on to control
supervisor -> child   GRACEFUL_STOP seconds
                      PREPARE PrepareRequest | COMMIT n | ABORT n
                      REOPEN_LOGS names, with the files of LogFiles
                      ORDER_RESULT (id, OrderResult) | REWRITE_STATES | REREAD_STATES    to control
                      RELOAD_FAILED FailedReload                                         to control
"""

from __future__ import annotations

from dataclasses import dataclass

from balance.config.model import Config
from balance.model import Address

HANDOVER_ENV = "BALANCE_HANDOVER"  # environment variable of a new instance: the descriptor of its pipe to the old one

READY, FAILED = "ready", "failed"
GRACEFUL_STOP = "end"  # drain within so many seconds, and exit
PREPARE, PREPARED, REFUSED = "prepare", "prepared", "refused"
COMMIT, COMMITTED, ABORT = "commit", "committed", "abandon"
REOPEN_LOGS = "reopen"  # after a rotation
LOADED, LOAD_FAILED = "loaded", "unloadable"
ORDER, ORDER_RESULT, FILE_CHANGED = "order", "verdict", "file changed"
LIST_CHANGED = "list changed"  # a file of an access list
CERTIFICATE_CHANGED = "certificate changed"  # or another file that `tls` names
KEYS, KEYS_WANTED = "keys", "keys wanted"  # sets of keys by URL: all that is known; a newer one of this source
KEEPER, SCALED = "keeper", "scaled"  # of autoscalers: see AutoscalingState
FOUND_FILE = "found file"  # (path, content, why there is none) of a file of discovery
RELOAD_FAILED = "reload failed"  # whoever has asked for it; what is wrong
NO_DESCRIPTORS = "there is no room for the descriptors that come with it; raise `ulimit -Hn`"
REREAD_STATES = "follow"  # read the backends' states again: the old instance has written them until now
REWRITE_STATES = "reassert"  # write the backends' states again: a failed new instance has overwritten them


@dataclass(frozen=True, slots=True)
class ConfigUpdate:
    """The part of a new configuration that is the same for every child; sent in a memfd."""

    number: int
    config: Config
    slots: dict[tuple[str, str], int]
    made_at: float
    origin: str
    summary: str = ""
    refreshed: int = 0  # the number of the one that this is, but for what was discovered since; 0: its own


@dataclass(frozen=True, slots=True)
class PrepareRequest:
    """The part of a new configuration for one child. Its new sockets follow the ConfigUpdate's descriptor, in this order, and
    the files of logs that the supervisor has opened for it."""

    number: int
    sockets: tuple[tuple[str, int], ...]  # (listener, inode) to accept from
    new: tuple[int, ...]  # inodes of the sockets sent with this message
    listening: tuple[tuple[str, Address], ...] = ()  # for control: (listener, bound address)
    log_files: tuple[str, ...] = ()  # see LogFiles
