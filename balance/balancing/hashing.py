"""Hash functions with the same result in every worker, after every restart and on every machine, unlike hash().

Not keyed: a client that chooses its key can choose its backend. Limits and bounded-load protect backends from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import unpack
from typing import Final
from zlib import crc32

SPACE: Final = 1 << 32  # key_hash() and points() lie in [0, SPACE)
_MASK: Final = SPACE - 1
_WORDS: Final = 16  # in a digest of 64 bytes


def key_hash(key: bytes, seed: int = 0) -> int:
    """The hash of a key: CRC-32, since it is computed for every request, then mixed, since CRC-32 is linear."""
    mixed = crc32(key, seed)
    mixed = (mixed ^ mixed >> 16) * 0x7FEB352D & _MASK  # Wellons' lowbias32
    mixed = (mixed ^ mixed >> 15) * 0x846CA68B & _MASK
    return mixed ^ mixed >> 16


def points(identity: bytes, count: int) -> Sequence[int]:
    """`count` ring positions of one backend. A smaller count gives a prefix of a larger one."""
    found: list[int] = []
    for block in range(-(-count // _WORDS)):
        found += unpack("<16I", blake2b(identity, digest_size=64, salt=block.to_bytes(16, "little")).digest())
    return found[:count]
