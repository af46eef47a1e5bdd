"""Sessions that Balance itself remembers, by the client's address or a field: a table on the board, one for all workers.

A cell is one session: a fingerprint of who it is, the slot of its backend, the second of its last use. Four cells are a bucket;
in a full one the session that was used least recently is forgotten. So a million clients take as much memory as one, and a
client finds its backend through every worker and after a worker's death. Each write is one cell, the last one wins; two clients
that look alike (of 2^38) share a backend, which does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from balance.health.circuit_breaker import Cells
from balance.runtime.backend import Backend

CELLS: Final = 1 << 18  # on the board, for all pools
WAYS: Final = 4

_SECONDS_BITS: Final = 24  # half a year; then it begins again
_SLOT_BITS: Final = 18
_SECONDS: Final = (1 << _SECONDS_BITS) - 1
_SLOTS: Final = (1 << _SLOT_BITS) - 1
_FINGERPRINT_AT: Final = _SECONDS_BITS + _SLOT_BITS
_FINGERPRINTS: Final = (1 << 64 - _FINGERPRINT_AT) - 1
_AHEAD_S: Final = 60  # another worker's "now" may be a moment later than the one that this request began with


class Sessions:
    """One pool's view of the table. The hash is keyed: nobody can choose whom to push out."""

    __slots__ = ("_backends", "_buckets", "_cells", "_key", "_ttl_s")

    def __init__(self, cells: Cells, count: int, secret: bytes, pool: str, backends: Iterable[Backend], ttl_s: float) -> None:
        """`count` is how many `cells` there are."""
        self._cells = cells
        self._buckets = count // WAYS
        self._key = blake2b(pool.encode(), digest_size=32, key=secret).digest()
        self._backends = {backend.slot: backend for backend in backends if backend.slot <= _SLOTS}
        self._ttl_s = min(int(ttl_s), _SECONDS // 2)

    def find(self, session: bytes, now: float) -> Backend | None:
        """The backend of a session that was used within its time; that counts as a use."""
        base, fingerprint = self._place(session)
        for at in range(base, base + WAYS):
            cell = self._cells[at]
            if cell and cell >> _FINGERPRINT_AT == fingerprint:
                age_s = _age_s(cell, now)
                backend = self._backends.get(cell >> _SECONDS_BITS & _SLOTS)
                if backend is not None and age_s <= self._ttl_s:
                    if age_s:
                        self._cells[at] = _cell(fingerprint, backend.slot, now)
                    return backend
        return None

    def keep(self, session: bytes, backend: Backend, now: float) -> None:
        """From now on it belongs to that backend."""
        if backend.slot > _SLOTS:
            return
        base, fingerprint = self._place(session)
        victim, oldest_s = base, -1
        for at in range(base, base + WAYS):
            cell = self._cells[at]
            if cell and cell >> _FINGERPRINT_AT == fingerprint:
                victim = at
                break
            age_s = _age_s(cell, now) if cell else _SECONDS + 1  # a free one is older than any
            if age_s > oldest_s:
                victim, oldest_s = at, age_s
        self._cells[victim] = _cell(fingerprint, backend.slot, now)

    def _place(self, session: bytes) -> tuple[int, int]:
        """The first cell of its bucket, and its fingerprint."""
        digest = int.from_bytes(blake2b(session, digest_size=8, key=self._key).digest(), "little")
        return (digest >> 32) % self._buckets * WAYS, digest & _FINGERPRINTS


def _cell(fingerprint: int, slot: int, now: float) -> int:
    return fingerprint << _FINGERPRINT_AT | slot << _SECONDS_BITS | int(now) & _SECONDS


def _age_s(cell: int, now: float) -> int:
    age_s = (int(now) - cell) & _SECONDS
    return 0 if age_s > _SECONDS - _AHEAD_S else age_s
