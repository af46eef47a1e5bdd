"""Traces: what became of spans."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, Definition

SPANS_EXPORTED: Final = Definition(
    "balance_trace_spans_exported_total",
    COUNTER,
    (),
    "Spans that the receiver of traces has taken.",
    "None while there is traffic: `tracing.sample_rate` is 0, or the receiver takes none; the log says which.",
)
SPANS_DROPPED: Final = Definition(
    "balance_trace_spans_dropped_total",
    COUNTER,
    (),
    "Spans that were lost: the receiver was away or refused them, or more came than it takes.",
    "The log says why once; a lower `tracing.sample_rate` makes fewer.",
)

DEFINITIONS: Final = (SPANS_EXPORTED, SPANS_DROPPED)
