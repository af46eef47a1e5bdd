"""What a request's header fields say of the trace that it belongs to, in any of the formats."""

from __future__ import annotations

import re
from typing import Final

SAMPLED: Final = 1  # bits of the trace flags, W3C Trace Context
RANDOM: Final = 2

_HEX: Final = re.compile(rb"[0-9a-f]+")


class SpanContext:
    """A caller's span. Ids are in lower-case hexadecimal digits, as the fields have them."""

    __slots__ = ("flags", "is_debug", "is_deferred", "span_id", "state", "trace_id")

    def __init__(
        self,
        trace_id: bytes,
        span_id: bytes,
        flags: int,
        state: bytes = b"",
        *,
        is_deferred: bool = False,
        is_debug: bool = False,
    ) -> None:
        self.trace_id = trace_id  # 32 digits; b"" where the caller has decided, but begun no trace (b3: 0)
        self.span_id = span_id  # 16 digits
        self.flags = flags
        self.state = state  # the value of tracestate
        self.is_deferred = is_deferred  # the caller leaves it to us whether the trace is sampled (B3)
        self.is_debug = is_debug  # B3: sampled, whatever a sampler further on would say

    @property
    def is_sampled(self) -> bool:
        return self.flags & SAMPLED != 0


def is_id(text: bytes, digits: int) -> bool:
    """Whether it is an id of so many lower-case hexadecimal digits, not all of them 0."""
    return len(text) == digits and _HEX.fullmatch(text) is not None and text.strip(b"0") != b""
