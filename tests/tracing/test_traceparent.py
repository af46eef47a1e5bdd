"""traceparent and tracestate: what is a context, and what is ignored without an error (W3C Trace Context)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.tracing.traceparent import MAX_MEMBERS, MAX_STATE, bounded_state, parse_traceparent

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (GOOD, 1),
        (b"00-%b-%b-00" % (TRACE, SPAN), 0),
        (b"00-%b-%b-03" % (TRACE, SPAN), 3),
        (b"00-%b-%b-fd" % (TRACE, SPAN), 1),  # bits that nobody knows are not passed on
        (b"cc-%b-%b-01" % (TRACE, SPAN), 1),
        (b"cc-%b-%b-01-what-the-future-brings" % (TRACE, SPAN), 1),
        (b"01-%b-%b-01-" % (TRACE, SPAN), 1),
    ],
)
def test_a_good_one_is_read(value: bytes, flags: int) -> None:
    context = parse_traceparent(value)
    assert context is not None
    assert (context.trace_id, context.span_id, context.flags) == (TRACE, SPAN, flags)
    assert context.is_sampled == bool(flags & 1)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-",
        GOOD + b"-extra",  # version 00 has nothing behind the flags
        b"ff" + GOOD[2:],
        b"0" + GOOD[:-1],
        b"cc" + GOOD[2:] + b".what",
        GOOD.upper(),
        b"00-%b-%b-01" % (TRACE.upper(), SPAN),
        b"00-%b-%b-01" % (TRACE, SPAN.upper()),
        b"0A-%b-%b-01" % (TRACE, SPAN),
        b"00-%b-%b-0A" % (TRACE, SPAN),
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01" % (TRACE[:-1] + b"g", SPAN),
        b"00-%b-%b-0x" % (TRACE, SPAN),
        b"00_%b_%b_01" % (TRACE, SPAN),
        b"00-%b-%b- 1" % (TRACE, SPAN),
        b"%b, %b" % (GOOD, GOOD),
        b" " + GOOD,
        GOOD.replace(b"-", b"\xff"),
    ],
)
def test_a_bad_one_is_none(value: bytes) -> None:
    assert parse_traceparent(value) is None


@settings(max_examples=30)
@given(st.binary(max_size=80) | st.text("0123456789abcdef-", min_size=50, max_size=60).map(str.encode))
def test_what_is_read_is_well_formed_and_nothing_raises(value: bytes) -> None:
    context = parse_traceparent(value)
    if context is not None:
        assert value[3:35] == context.trace_id
        assert int(context.trace_id, 16) and int(context.span_id, 16)
        assert parse_traceparent(b"00-%b-%b-%02x" % (context.trace_id, context.span_id, context.flags)) is not None


LONG = b"k=" + b"v" * 200


@pytest.mark.parametrize(
    ("values", "passed_on"),
    [
        ([], b""),
        ([b"a=1"], b"a=1"),
        ([b"a=1, b=2\t,c=3"], b"a=1,b=2,c=3"),
        ([b"a=1", b"b=2"], b"a=1,b=2"),  # several fields are one list
        ([b"a=1,,b=2,"], b"a=1,b=2"),  # members may be empty
        ([b"fw529a3039@dt=FfAAA", b"0@a=x"], b"fw529a3039@dt=FfAAA,0@a=x"),
        ([b"a"], b""),
        ([b"A=1"], b""),
        ([b"a=1,a=2"], b""),
        ([b"a=\x01"], b""),
        ([b"a=1=2"], b""),
        ([b"a=" + b"v" * 257], b""),
        ([b",".join(b"k%d=v" % n for n in range(MAX_MEMBERS + 1))], b""),
        ([b",".join(b"k%d=v" % n for n in range(MAX_MEMBERS))], b",".join(b"k%d=v" % n for n in range(MAX_MEMBERS))),
        # Too much: long members go first, then the last ones.
        ([LONG, b"a=" + b"v" * 200, b"b=" + b"v" * 200, b"c=1"], b"c=1"),
        ([b",".join(b"k%d=" % n + b"v" * 100 for n in range(6))], b",".join(b"k%d=" % n + b"v" * 100 for n in range(4))),
    ],
)
def test_state_is_passed_on_within_bounds_or_not_at_all(values: list[bytes], passed_on: bytes) -> None:
    assert bounded_state(values) == passed_on


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=400), max_size=4))
def test_no_state_is_longer_than_its_bound_or_breaks_a_line(values: list[bytes]) -> None:
    state = bounded_state(values)
    assert len(state) <= MAX_STATE and b"\r" not in state and b"\n" not in state
    assert bounded_state([state]) == state
