"""How a trace begins here: gone on with as a trusted caller has it, or a new one; sampled as the caller says, or by the share.

A stranger's context is not gone on with: whoever could set the flag could have everything exported, and whoever could unset it
could hide. The spans of such a request link to it.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable
from random import getrandbits
from typing import Final

from balance.tracing.propagation import DEBUG, Incoming, Propagation
from balance.tracing.request_trace import RequestTrace, SampledPart
from balance.tracing.sampling import LOW, bound_of, is_sampled
from balance.tracing.span_context import RANDOM, SAMPLED, SpanContext

_NEW_IDS: Final = 192  # bits: of a trace and a span
_NEW_ID: Final = 64


class TraceStart:
    """One for each worker."""

    __slots__ = ("_after", "_before", "_bits", "_bound", "_propagation")

    def __init__(self, propagation: Propagation, sample_rate: float, bits: Callable[[int], int] = getrandbits) -> None:
        """`bits` gives so many random bits. Each worker has a generator of its own: a fork seeds Python's anew."""
        self._propagation = propagation
        self._bound = bound_of(sample_rate)
        self._bits = bits
        self._before, self._after = propagation.around_ids  # of the lines of a request that is not sampled

    def read(self, lines: bytes) -> Incoming | None:
        """What the field lines of a request say of its trace; None where they say nothing."""
        return self._propagation.read(lines)

    def begin(self) -> RequestTrace:
        """The trace of a request whose caller says nothing of one."""
        bits = self._bits(_NEW_IDS)
        ids = hexlify(bits.to_bytes(24, "big"), b"-", -16)  # all at once: each request pays for it
        if bits >> _NEW_ID & LOW < self._bound:
            return self._sampled(ids[:32], ids[33:], SAMPLED)
        if self._before:
            return RequestTrace(ids, self._before + ids + self._after)
        return RequestTrace(ids, self._propagation.lines(ids[:32], ids[33:], 0, b""))

    def begin_after(self, context: SpanContext | None, is_trusted: bool) -> RequestTrace:
        """The trace of a request whose caller has said this of it; None: nothing valid. `is_trusted`: it is believed."""
        if context is None:
            return self.begin()
        ids = hexlify(self._bits(_NEW_IDS).to_bytes(24, "big"))
        trace_id, span_id, state, flags = ids[:32], ids[32:], b"", 0
        if is_trusted and context.trace_id:
            trace_id, state, flags = context.trace_id, context.state, context.flags & RANDOM
        if is_trusted and not context.is_deferred:
            flags |= context.flags & SAMPLED | (DEBUG if context.is_debug else 0)
        elif is_sampled(trace_id, self._bound):
            flags |= SAMPLED
        if not flags & SAMPLED:
            lines = self._propagation.lines(trace_id, span_id, flags, state)
            return RequestTrace(b"%b-%b" % (trace_id, span_id), lines)
        if is_trusted:
            return self._sampled(trace_id, span_id, flags, context.span_id, state)
        return self._sampled(trace_id, span_id, flags, link=context if context.trace_id else None)

    def _sampled(
        self,
        trace_id: bytes,
        span_id: bytes,
        flags: int,
        parent_id: bytes = b"",
        state: bytes = b"",
        link: SpanContext | None = None,
    ) -> RequestTrace:
        try_id = self.new_span_id()
        lines = self._propagation.lines(trace_id, try_id, flags, state)
        return RequestTrace(b"%b-%b" % (trace_id, span_id), lines, SampledPart(try_id, flags, parent_id, state, link))

    def new_span_id(self) -> bytes:
        """The id of another span."""
        return hexlify((self._bits(_NEW_ID) or 1).to_bytes(8, "big"))

    def try_again(self, trace: RequestTrace, head: bytes) -> bytes:
        """The next try of a sampled request begins: it has a span of its own. Returns the head that names it."""
        sampled = trace.sampled
        assert sampled is not None
        before, sampled.try_id = sampled.try_id, self.new_span_id()
        # Nobody knows an id before it is sent, and it is in nothing else that is sent: only our own lines have it.
        trace.lines = trace.lines.replace(before, sampled.try_id)
        return head.replace(before, sampled.try_id)
