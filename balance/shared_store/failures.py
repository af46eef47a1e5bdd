"""What a failure of Redis means: which kind it is, whether only writes are refused, and the words for it.

An error that Redis answers begins with a word (`OOM command not allowed ...`), which decides.
"""

from __future__ import annotations

import enum
from typing import Final


class StoreState(enum.IntEnum):
    """How the store stands for one worker. The numbers are in a cell of the board."""

    UNUSED = 0  # no store is configured
    CONNECTING = 1  # since the start, for the first time
    UP = 2
    READ_ONLY = 3  # it answers, but takes no writes
    DOWN = 4

    @property
    def word(self) -> str:
        """The name on /status and in metrics."""
        return self.name.lower()


class Failure(enum.IntEnum):
    """The kind of a failure. The numbers are in a cell of the board, so append only."""

    NONE = 0
    TIMEOUT = 1  # slow or frozen
    CONNECT = 2  # refused, no such host, no such socket
    LOST = 3  # it closed or reset the connection
    AUTH = 4  # it asks for a password, or does not take ours
    CLUSTER = 5  # one node of a cluster: it sends us elsewhere
    LOADING = 6  # it starts, or has lost its primary
    FULL = 7  # no memory left, or it can't save
    READ_ONLY = 8  # a replica
    REFUSED = 9  # another error that it answers
    PROTOCOL = 10  # it is no Redis

    @property
    def text(self) -> str:
        """What it says to people."""
        return TEXTS[self]


TEXTS: Final = {
    Failure.NONE: "",
    Failure.TIMEOUT: "it does not answer in time",
    Failure.CONNECT: "no connection can be made",
    Failure.LOST: "it closed the connection",
    Failure.AUTH: "it does not take our user and password",
    Failure.CLUSTER: "it is a node of a cluster, which Balance does not follow",
    Failure.LOADING: "it is loading, or has no primary",
    Failure.FULL: "it is full or can't save",
    Failure.READ_ONLY: "it is a replica and takes no writes",
    Failure.REFUSED: "it refuses our commands",
    Failure.PROTOCOL: "it does not speak as Redis does",
}

_KINDS: Final = {
    "NOAUTH": Failure.AUTH,
    "WRONGPASS": Failure.AUTH,
    "MOVED": Failure.CLUSTER,
    "ASK": Failure.CLUSTER,
    "CLUSTERDOWN": Failure.CLUSTER,
    "CROSSSLOT": Failure.CLUSTER,
    "LOADING": Failure.LOADING,
    "MASTERDOWN": Failure.LOADING,
    "BUSY": Failure.LOADING,  # a script runs
    "OOM": Failure.FULL,
    "MISCONF": Failure.FULL,
    "NOREPLICAS": Failure.FULL,
    "READONLY": Failure.READ_ONLY,
}
_OF_WRITES: Final = frozenset([Failure.FULL, Failure.READ_ONLY])


class StoreError(Exception):
    """Redis can't be used. The text is safe to log: it has no password."""

    def __init__(self, kind: Failure, detail: str = "") -> None:
        super().__init__(f"{kind.text} ({detail})" if detail else kind.text)
        self.kind = kind


def kind_of_reply(text: str) -> Failure:
    """The kind of an error that Redis answers."""
    word = text.partition(" ")[0]
    if word in _KINDS:
        return _KINDS[word]
    # Redis 5 and older: `ERR invalid password`, `ERR Client sent AUTH, but no password is set`
    return Failure.AUTH if "password" in text.lower() or "AUTH" in text else Failure.REFUSED


def is_of_writes(kind: Failure) -> bool:
    """Whether what is read may still be used."""
    return kind in _OF_WRITES
