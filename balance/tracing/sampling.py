"""Which traces are sampled: those of a share of all trace ids, so that everybody who samples at this share takes the same."""

from __future__ import annotations

from typing import Final

_IDS: Final = 1 << 64
LOW: Final = _IDS - 1  # the bits of a trace id that count, as in OpenTelemetry's TraceIdRatioBased


def bound_of(rate: float) -> int:
    """Trace ids are sampled whose low bits are below it. `rate` is from 0 to 1."""
    return round(rate * _IDS)


def is_sampled(trace_id: bytes, bound: int) -> bool:
    """Whether the trace of this id, of 32 hexadecimal digits, is."""
    return int(trace_id[16:], 16) < bound
