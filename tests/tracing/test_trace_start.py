"""How a trace begins: whose context is gone on with, whose decision counts, and what backends are told."""

import re

import pytest

from balance.tracing.propagation import B3, W3C, Propagation
from balance.tracing.span_context import SpanContext
from balance.tracing.trace_start import TraceStart

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


def starting(rate: float = 0.5, formats: tuple[str, ...] = (W3C,)) -> TraceStart:
    return TraceStart(Propagation(formats), rate)


def context(flags: int = 1, **given: object) -> SpanContext:
    return SpanContext(TRACE, SPAN, flags, b"a=1", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("formats", [(W3C,), (B3,), ("b3multi",), (W3C, B3)])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_new_trace_has_new_ids_and_backends_are_told_of_it(formats: tuple[str, ...], rate: float) -> None:
    first, second = (starting(rate, formats).begin() for _ in range(2))
    assert first.ids != second.ids and first.is_sampled == bool(rate)
    assert re.fullmatch(rb"[0-9a-f]{32}", first.trace_id) and re.fullmatch(rb"[0-9a-f]{16}", first.span_id)
    told = Propagation(formats).read(first.lines)
    assert told is not None and told.context is not None and not told.lines
    assert told.context.trace_id == first.trace_id and told.context.is_sampled == bool(rate)
    # The span of the try stands between; without spans there is none.
    assert (told.context.span_id == first.span_id) is not bool(rate)


@pytest.mark.parametrize(
    ("caller", "rate", "is_sampled"),
    [
        (context(1), 0.0, True),  # the caller's decision
        (context(0), 1.0, False),
        (context(0, is_deferred=True), 1.0, True),  # B3: ours to decide
        (context(0, is_deferred=True), 0.0, False),
        (context(1, is_debug=True), 0.0, True),
    ],
)
def test_a_trusted_callers_trace_goes_on(caller: SpanContext, rate: float, is_sampled: bool) -> None:
    trace = starting(rate).begin_after(caller, True)
    assert (trace.trace_id, trace.is_sampled) == (TRACE, is_sampled)
    assert trace.span_id != SPAN
    assert trace.lines.startswith(b"traceparent: 00-" + TRACE) and trace.lines.endswith(b"tracestate: a=1\r\n")
    assert (b"-01\r\n" in trace.lines) is is_sampled
    if trace.sampled is not None:
        assert trace.sampled.parent_id == SPAN and trace.sampled.link is None and trace.sampled.state == b"a=1"


@pytest.mark.parametrize(("flags", "rate"), [(0, 1.0), (1, 0.0), (1, 1.0), (0, 0.0)])
def test_a_strangers_trace_does_not_and_their_flag_says_nothing(flags: int, rate: float) -> None:
    trace = starting(rate).begin_after(context(flags), False)
    assert trace.trace_id != TRACE and TRACE not in trace.lines and b"tracestate" not in trace.lines
    assert trace.is_sampled == bool(rate)
    if trace.sampled is not None:
        link = trace.sampled.link
        assert link is not None and link.trace_id == TRACE and not trace.sampled.parent_id


def test_a_decision_without_a_trace_begins_one() -> None:
    for flags in (0, 1):
        trace = starting(1.0 - flags, (B3,)).begin_after(SpanContext(b"", b"", flags), True)
        assert trace.is_sampled == bool(flags)
        assert trace.sampled is None or not trace.sampled.parent_id
    assert starting(1.0).begin_after(SpanContext(b"", b"", 0), False).is_sampled


def test_what_is_malformed_begins_a_new_trace() -> None:
    assert starting(1.0).begin_after(None, True).is_sampled


def test_debug_goes_on_in_b3() -> None:
    assert starting(0.0, (B3,)).begin_after(context(1, is_debug=True), True).lines.endswith(b"-d\r\n")


def test_each_try_has_a_span_of_its_own() -> None:
    start = starting(1.0)
    trace = start.begin()
    head = b"GET / HTTP/1.1\r\n" + trace.lines + b"\r\n"
    again = start.try_again(trace, head)
    assert again != head and len(again) == len(head) and trace.lines in again
    assert trace.sampled is not None and trace.sampled.try_id in again
