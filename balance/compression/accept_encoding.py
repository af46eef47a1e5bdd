"""Chooses the content coding of a reply from what its client accepts (Accept-Encoding, RFC 9110 section 12.5.3).

The client's weights decide first, then our own order. Without the field nothing is encoded: the RFC allows it, but a client
that does not ask cannot be expected to decode.
"""

from __future__ import annotations

import re
from typing import Final

IDENTITY: Final = b""  # the reply goes on as it is

MAX_MEMBERS: Final = 64  # of one field; browsers send four. The others are not read

_MEMBER: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9a-z]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_ALIASES: Final = {b"x-gzip": b"gzip"}  # RFC 9110 section 8.4.1.3


def negotiate(values: list[bytes], preference: tuple[bytes, ...]) -> bytes:
    """One of `preference`, or IDENTITY. `values` are those of all Accept-Encoding lines.

    A client that likes `identity` better than all of ours gets it. One that accepts nothing that we have, not even `identity`,
    gets the reply as the backend made it, not a 406.
    """
    weights = _weights(values)
    others = weights.get(b"*", 0)
    best, best_weight = IDENTITY, weights.get(b"identity", 0)
    for coding in preference:
        weight = weights.get(coding, others)
        if weight > best_weight or (weight == best_weight and weight and best is IDENTITY):
            best, best_weight = coding, weight
    return best


def _weights(values: list[bytes]) -> dict[bytes, int]:
    """The weight of each coding that is named, in thousandths. A member that is malformed is skipped."""
    weights: dict[bytes, int] = {}
    for member in b",".join(values).lower().split(b",", MAX_MEMBERS)[:MAX_MEMBERS]:
        match = _MEMBER.fullmatch(member.strip(b" \t"))
        if match is not None:
            coding = _ALIASES.get(match[1], match[1])
            weight = 1000 if match[2] is None else round(float(match[2]) * 1000)
            known = weights.get(coding)
            if known is None or weight < known:  # of a coding that is named twice, a refusal counts
                weights[coding] = weight
    return weights
