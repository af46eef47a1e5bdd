"""The numbers of one backend that a policy may read. Knows nothing of sockets, names or health."""

from __future__ import annotations


class Load:
    """One backend as numbers. Concrete on purpose: a policy reads it millions of times."""

    __slots__ = ("active", "elsewhere", "weight")

    def __init__(self, weight: int = 1, active: int = 0, elsewhere: int = 0) -> None:
        self.weight = weight
        self.active = active  # leases held by this worker now, counted from the choice, not from the connect
        self.elsewhere = elsewhere  # leases that the other workers held a moment ago

    def __repr__(self) -> str:
        return f"Load(weight={self.weight}, active={self.active}, elsewhere={self.elsewhere})"
