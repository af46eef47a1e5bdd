"""Fields in and out: which are read, taken out and written, by what `tracing.propagate` names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.tracing.propagation import B3, B3_MULTI, DEBUG, W3C, Propagation

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
PARENT = b"traceparent: 00-%b-%b-01\r\n" % (TRACE, SPAN)
STATE = b"tracestate: a=1\r\n"
SINGLE = b"b3: %b-%b-0\r\n" % (TRACE, SPAN)
MULTI = b"X-B3-TraceId: %b\r\nX-B3-SpanId: %b\r\nX-B3-Sampled: 1\r\n" % (TRACE, SPAN)
HOST, LAST = b"Host: example.org\r\n", b"Accept: */*\r\n"


@pytest.mark.parametrize(
    ("formats", "lines", "flags", "left"),
    [
        ([W3C], HOST + PARENT + LAST, 1, HOST + LAST),
        ([W3C], PARENT, 1, b""),
        (
            [W3C],
            HOST + PARENT.replace(b"traceparent:", b"TraceParent: \t") + STATE.upper().replace(b"A=", b"a=") + LAST,
            1,
            HOST + LAST,
        ),
        ([W3C], HOST + PARENT + PARENT, None, HOST),
        ([W3C], HOST + STATE + LAST, None, HOST + LAST),  # alone it says nothing, and goes nowhere
        ([W3C], HOST + b"traceparent: 00-xyz\r\n" + STATE, None, HOST),
        ([W3C], HOST + SINGLE + PARENT, 1, HOST + SINGLE),  # other formats are not ours
        ([W3C], HOST + b"x-traceparent: 1\r\n" + b"y: traceparent: 2\r\n", "none", b""),
        ([W3C], HOST + SINGLE, "none", b""),
        ([B3], HOST + SINGLE + LAST, 0, HOST + LAST),
        ([B3], HOST + MULTI + LAST, 1, HOST + LAST),
        ([B3], HOST + MULTI + SINGLE, 0, HOST),
        ([B3], HOST + SINGLE + SINGLE, None, HOST),
        ([B3_MULTI], HOST + SINGLE, 0, HOST),
        ([B3], HOST + PARENT + STATE, "none", b""),
        ([W3C, B3], SINGLE + PARENT + LAST, 1, LAST),
        ([B3, W3C], SINGLE + PARENT + LAST, 0, LAST),
        ([B3, W3C], b"b3: nonsense\r\n" + PARENT + LAST, 1, LAST),
        ([W3C], HOST, "none", b""),
    ],
)
def test_what_is_read_and_what_is_left(formats: list[str], lines: bytes, flags: object, left: bytes) -> None:
    incoming = Propagation(formats).read(lines)
    if flags == "none":
        assert incoming is None
        return
    assert incoming is not None and incoming.lines == left
    if flags is None:
        assert incoming.context is None
    else:
        assert incoming.context is not None
        assert (incoming.context.trace_id, incoming.context.span_id, incoming.context.flags) == (TRACE, SPAN, flags)


def test_the_state_goes_with_its_context() -> None:
    incoming = Propagation([W3C]).read(STATE + PARENT + b"tracestate: b=2\r\n")
    assert incoming is not None and incoming.context is not None
    assert incoming.context.state == b"a=1,b=2" and incoming.lines == b""


@pytest.mark.parametrize(
    ("formats", "flags", "state", "lines"),
    [
        ([W3C], 1, b"", PARENT),
        ([W3C], 0, b"a=1", PARENT.replace(b"-01", b"-00") + STATE),
        ([W3C], 3, b"", PARENT.replace(b"-01", b"-03")),
        ([W3C], 1 | DEBUG, b"", PARENT),
        ([B3], 0, b"a=1", SINGLE),
        ([B3], 3, b"", SINGLE.replace(b"-0\r", b"-1\r")),
        ([B3], 1 | DEBUG, b"", SINGLE.replace(b"-0\r", b"-d\r")),
        ([B3_MULTI], 1, b"", MULTI),
        ([B3_MULTI], 1 | DEBUG, b"", MULTI.replace(b"Sampled", b"Flags")),
        ([W3C, B3_MULTI], 1, b"a=1", PARENT + MULTI + STATE),
    ],
)
def test_what_is_written(formats: list[str], flags: int, state: bytes, lines: bytes) -> None:
    assert Propagation(formats).lines(TRACE, SPAN, flags, state) == lines


@pytest.mark.parametrize("formats", [[W3C], [B3], [B3_MULTI], [W3C, B3], [W3C, B3, B3_MULTI]])
def test_what_stands_around_the_ids_makes_the_same_lines(formats: list[str]) -> None:
    propagation = Propagation(formats)
    before, after = propagation.around_ids
    if len(formats) == 1 and formats != [B3_MULTI]:
        assert before + TRACE + b"-" + SPAN + after == propagation.lines(TRACE, SPAN, 0, b"")
    else:
        assert not before


LINE = st.sampled_from(
    [HOST, PARENT, STATE, SINGLE, LAST, *MULTI.splitlines(True), b"b3:\r\n", b"traceparent:x\r\n", b"a:b\r\n"]
)


@settings(max_examples=30)
@given(st.lists(LINE, max_size=8), st.sampled_from([[W3C], [B3], [W3C, B3]]))
def test_no_line_of_ours_is_left_and_all_others_stay_in_order(lines: list[bytes], formats: list[str]) -> None:
    incoming = Propagation(formats).read(b"".join(lines))
    ours = tuple(
        name
        for each, names in ((W3C, (b"traceparent:", b"tracestate:")), (B3, (b"b3:", b"x-b3-")))
        for name in names
        if each in formats
    )
    others = b"".join([line for line in lines if not line.lower().startswith(ours)])
    assert (b"".join(lines) if incoming is None else incoming.lines) == others
