"""Hashes that are the same in every worker, after every restart and on every machine, which Python's own is not.

Not secret: a client that chooses its key can choose its backend. What that may cost is for limits and bounded-load to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import unpack
from zlib import crc32

SPACE = 1 << 32  # key_hash() and points() lie in [0, SPACE)
_MASK = SPACE - 1
_WORDS = 16  # in a digest of 64 bytes


def key_hash(key: bytes, seed: int = 0) -> int:
    """Where a key lies. On the path of every request, so CRC-32 for speed, and a mix because CRC-32 is linear."""
    mixed = crc32(key, seed)
    mixed = (mixed ^ mixed >> 16) * 0x7FEB352D & _MASK  # Wellons' lowbias32
    mixed = (mixed ^ mixed >> 15) * 0x846CA68B & _MASK
    return mixed ^ mixed >> 16


def points(identity: bytes, count: int) -> Sequence[int]:
    """`count` places for one backend. The first ones are the same whatever the count."""
    found: list[int] = []
    for block in range(-(-count // _WORDS)):
        found += unpack("<16I", blake2b(identity, digest_size=64, salt=block.to_bytes(16, "little")).digest())
    return found[:count]
