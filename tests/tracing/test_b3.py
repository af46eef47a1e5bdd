"""B3, the single field and the several ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.tracing.b3 import parse_b3, parse_multi
from balance.tracing.span_context import SpanContext

TRACE, SPAN, PARENT = b"80f198ee56343ba864fe8b2a57d3eff7", b"e457b5a2e4d86bd1", b"05e3ac9a4f6e3b90"
SHORT = b"64fe8b2a57d3eff7"


def told(context: SpanContext | None) -> object:
    if context is None:
        return None
    decided = "?" if context.is_deferred else "d" if context.is_debug else str(context.flags)
    return context.trace_id, context.span_id, decided


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"%b-%b-1-%b" % (TRACE, SPAN, PARENT), (TRACE, SPAN, "1")),
        (b"%b-%b-1" % (TRACE, SPAN), (TRACE, SPAN, "1")),
        (b"%b-%b-0" % (TRACE, SPAN), (TRACE, SPAN, "0")),
        (b"%b-%b-d" % (TRACE, SPAN), (TRACE, SPAN, "d")),
        (b"%b-%b" % (TRACE, SPAN), (TRACE, SPAN, "?")),
        (b"%b-%b-1" % (SHORT, SPAN), (b"0" * 16 + SHORT, SPAN, "1")),
        (b"0", (b"", b"", "0")),
        (b"1", (b"", b"", "1")),
        (b"d", (b"", b"", "d")),
        (b"2", None),
        (b"", None),
        (b"%b-%b-2" % (TRACE, SPAN), None),
        (b"%b-%b-true" % (TRACE, SPAN), None),
        (b"%b-%b-1-" % (TRACE, SPAN), None),
        (b"%b-%b-1-%b-" % (TRACE, SPAN, PARENT), None),
        (b"%b-%b-1" % (b"0" * 32, SPAN), None),
        (b"%b-%b-1" % (TRACE, b"0" * 16), None),
        (b"%b-%b-1" % (TRACE.upper(), SPAN), None),
        (b"%b-%b-1" % (TRACE[:20], SPAN), None),
        (b"%b" % TRACE, None),
        (b"\xff-\xff", None),
    ],
)
def test_the_single_field(value: bytes, read: object) -> None:
    assert told(parse_b3(value)) == read


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"1"}, (TRACE, SPAN, "1")),
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"0", "parentspanid": PARENT}, (TRACE, SPAN, "0")),
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"true"}, (TRACE, SPAN, "1")),
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"false"}, (TRACE, SPAN, "0")),
        ({"traceid": TRACE, "spanid": SPAN, "flags": b"1"}, (TRACE, SPAN, "d")),
        ({"traceid": TRACE, "spanid": SPAN}, (TRACE, SPAN, "?")),
        ({"traceid": SHORT, "spanid": SPAN}, (b"0" * 16 + SHORT, SPAN, "?")),
        ({"sampled": b"0"}, (b"", b"", "0")),
        ({"flags": b"1"}, (b"", b"", "d")),
        ({"flags": b"0"}, None),
        ({"traceid": TRACE}, None),
        ({"spanid": SPAN}, None),
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"yes"}, None),
        ({"traceid": b"0" * 32, "spanid": SPAN}, None),
        ({"parentspanid": PARENT}, None),
    ],
)
def test_the_several_fields(fields: dict[str, bytes], read: object) -> None:
    assert told(parse_multi({name.encode(): [value] for name, value in fields.items()})) == read


def test_a_field_that_comes_twice_is_no_context() -> None:
    assert parse_multi({b"traceid": [TRACE, TRACE], b"spanid": [SPAN]}) is None


@settings(max_examples=30)
@given(st.binary(max_size=90) | st.text("0123456789abcdef-d", max_size=70).map(str.encode))
def test_nothing_raises(value: bytes) -> None:
    context = parse_b3(value)
    if context is not None and context.trace_id:
        assert len(context.trace_id) == 32 and len(context.span_id) == 16
