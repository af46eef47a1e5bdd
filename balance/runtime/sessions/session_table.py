"""The session table: sessions by the client's address, a field or a random id, in a table on the board that all workers share.

A cell is one session: its fingerprint, the slot of its backend and the second of its last use. A bucket has four cells; when it
is full, the session that was used least recently is forgotten. So memory does not grow with the number of clients, and a
session survives the death of a worker. Each write is one cell and the last one wins. Sessions with the same fingerprint in a
bucket (together one of 2^38) share a backend, which does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from balance.health.circuit_breaker import Cells
from balance.runtime.backend import Backend

CELLS: Final = 1 << 18  # on the board, for all pools
WAYS: Final = 4

_SECONDS_BITS: Final = 24  # wraps after half a year
_SLOT_BITS: Final = 18
_SECONDS: Final = (1 << _SECONDS_BITS) - 1
_SLOTS: Final = (1 << _SLOT_BITS) - 1
_FINGERPRINT_AT: Final = _SECONDS_BITS + _SLOT_BITS
_FINGERPRINTS: Final = (1 << 64 - _FINGERPRINT_AT) - 1
_AHEAD_S: Final = 60  # another worker may have written a slightly later time than this request's `now`


class Sessions:
    """One pool's view of the table. The hash is keyed, so that clients can't choose which sessions they displace."""

    __slots__ = ("_backends", "_buckets", "_cells", "_key", "_ttl_s")

    def __init__(self, cells: Cells, count: int, secret: bytes, pool: str, backends: Iterable[Backend], ttl_s: float) -> None:
        """`count` is the number of `cells`. Sessions expire `ttl_s` after their last use."""
        self._cells = cells
        self._buckets = count // WAYS
        self._key = blake2b(pool.encode(), digest_size=32, key=secret).digest()
        self._backends = {backend.slot: backend for backend in backends if backend.slot <= _SLOTS}
        self._ttl_s = min(int(ttl_s), _SECONDS // 2)

    def find(self, session: bytes, now: float) -> Backend | None:
        """The backend of a session that has not expired, or None. Counts as a use. `now`: seconds, monotonic."""
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

    def look(self, session: bytes, now: float) -> tuple[Backend | None, int]:
        """As find(), without counting as a use, and the seconds since the last use or keep()."""
        base, fingerprint = self._place(session)
        for at in range(base, base + WAYS):
            cell = self._cells[at]
            if cell and cell >> _FINGERPRINT_AT == fingerprint:
                age_s = _age_s(cell, now)
                backend = self._backends.get(cell >> _SECONDS_BITS & _SLOTS)
                if backend is not None and age_s <= self._ttl_s:
                    return backend, age_s
        return None, 0

    def forget(self, session: bytes) -> None:
        """Forget the session."""
        base, fingerprint = self._place(session)
        for at in range(base, base + WAYS):
            if self._cells[at] >> _FINGERPRINT_AT == fingerprint:
                self._cells[at] = 0

    def keep(self, session: bytes, backend: Backend, now: float) -> None:
        """Bind the session to that backend."""
        if backend.slot > _SLOTS:
            return
        base, fingerprint = self._place(session)
        victim, oldest_s = base, -1
        for at in range(base, base + WAYS):
            cell = self._cells[at]
            if cell and cell >> _FINGERPRINT_AT == fingerprint:
                victim = at
                break
            age_s = _age_s(cell, now) if cell else _SECONDS + 1  # a free cell counts as the oldest
            if age_s > oldest_s:
                victim, oldest_s = at, age_s
        self._cells[victim] = _cell(fingerprint, backend.slot, now)

    def _place(self, session: bytes) -> tuple[int, int]:
        """The first cell of the session's bucket, and its fingerprint."""
        digest = int.from_bytes(blake2b(session, digest_size=8, key=self._key).digest(), "little")
        return (digest >> 32) % self._buckets * WAYS, digest & _FINGERPRINTS


def _cell(fingerprint: int, slot: int, now: float) -> int:
    return fingerprint << _FINGERPRINT_AT | slot << _SECONDS_BITS | int(now) & _SECONDS


def _age_s(cell: int, now: float) -> int:
    age_s = (int(now) - cell) & _SECONDS
    return 0 if age_s > _SECONDS - _AHEAD_S else age_s
