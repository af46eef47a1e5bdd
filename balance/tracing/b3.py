"""B3, Zipkin's propagation: the single field `b3`, and the X-B3-* of before. The single one counts where both are there."""

from __future__ import annotations

from typing import Final

from balance.tracing.span_context import SAMPLED, SpanContext, is_id

SHORT: Final = 16  # digits of a trace id of 64 bits
_NO: Final = frozenset((b"0", b"false"))
_YES: Final = frozenset((b"1", b"true"))  # tracers of long ago wrote true and false


def parse_b3(value: bytes) -> SpanContext | None:
    """The context of a field `b3`: {trace id}-{span id}-{0, 1 or d}-{parent's span id}, or the decision alone."""
    if len(value) == 1:
        return _decision(value)
    parts = value.split(b"-")
    if not 2 <= len(parts) <= 4 or (len(parts) == 4 and not is_id(parts[3], 16)):
        return None
    decided = _decision(parts[2]) if len(parts) > 2 else SpanContext(b"", b"", 0, is_deferred=True)
    return _context(parts[0], parts[1], decided)


def parse_multi(values: dict[bytes, list[bytes]]) -> SpanContext | None:
    """The context of the X-B3-* fields, by their lower-case names behind `x-b3-`."""
    if any(len(each) != 1 for each in values.values()):
        return None
    trace_id, span_id = (values.get(name, [b""])[0] for name in (b"traceid", b"spanid"))
    sampled, flags = (values.get(name, [b""])[0] for name in (b"sampled", b"flags"))
    if flags == b"1":
        decided: SpanContext | None = SpanContext(b"", b"", SAMPLED, is_debug=True)
    elif sampled in _YES or sampled in _NO:
        decided = SpanContext(b"", b"", SAMPLED if sampled in _YES else 0)
    elif sampled:
        return None
    else:
        decided = SpanContext(b"", b"", 0, is_deferred=True)
    if trace_id or span_id:
        return _context(trace_id, span_id, decided)
    return decided if sampled or flags == b"1" else None


def _decision(value: bytes) -> SpanContext | None:
    if value == b"d":
        return SpanContext(b"", b"", SAMPLED, is_debug=True)
    return SpanContext(b"", b"", SAMPLED if value == b"1" else 0) if value in (b"0", b"1") else None


def _context(trace_id: bytes, span_id: bytes, decided: SpanContext | None) -> SpanContext | None:
    """With these ids, if they are well formed. A trace id of 64 bits is the right half of ours."""
    if decided is None or not is_id(span_id, 16) or not (is_id(trace_id, 32) or is_id(trace_id, SHORT)):
        return None
    decided.trace_id, decided.span_id = trace_id.rjust(32, b"0"), span_id
    return decided
