"""What is written is what the official messages read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from balance.tracing.otlp import (
    CLIENT,
    MAX_CACHED,
    Resource,
    _cached,
    common_attribute,
    event,
    link,
    number_attribute,
    rejected,
    span,
    text_attribute,
    varint,
)

IDS = (b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331", b"00f067aa0ba902b7")


def read(*spans: bytes) -> list[Span]:
    request = ExportTraceServiceRequest()
    resource = Resource([("service.name", "balance"), ("process.pid", 70000)], "scope", "1.0")
    request.ParseFromString(resource.request(spans))
    (of_resource,) = request.resource_spans
    attributes = {each.key: each.value for each in of_resource.resource.attributes}
    assert attributes["service.name"].string_value == "balance" and attributes["process.pid"].int_value == 70000
    (of_scope,) = of_resource.scope_spans
    assert (of_scope.scope.name, of_scope.scope.version) == ("scope", "1.0")
    return list(of_scope.spans)


@settings(max_examples=30)
@given(
    name=st.text(max_size=300),
    text=st.text(max_size=300),
    number=st.integers(0, 2**63 - 1),
    start=st.integers(0, 2**63),
    state=st.sampled_from([b"", b"a=1,b=2"]),
    error=st.none() | st.text(max_size=20),
    flags=st.integers(0, 2**32 - 1),
)
def test_a_span(name: str, text: str, number: int, start: int, state: bytes, error: str | None, flags: int) -> None:
    parts = [
        text_attribute("some.text", text),
        number_attribute("some.number", number),
        event(start, "retry", [common_attribute("why", "reset")]),
        link(IDS[0], IDS[1], state, 1),
    ]
    written = span(IDS, state, name, CLIENT, (start, start + 5), parts, flags, error)
    for found in read(written, written):
        assert (found.trace_id.hex(), found.span_id.hex(), found.parent_span_id.hex()) == tuple(each.decode() for each in IDS)
        assert found.name == name.encode("utf-8", "replace").decode() and found.kind == Span.SPAN_KIND_CLIENT
        assert (found.start_time_unix_nano, found.end_time_unix_nano) == (start, start + 5)
        assert found.trace_state.encode() == state and found.flags == flags
        texts, numbers = found.attributes
        assert texts.value.string_value == text.encode("utf-8", "replace").decode() and numbers.value.int_value == number
        (happened,) = found.events
        assert (happened.name, happened.time_unix_nano) == ("retry", start)
        assert happened.attributes[0].key == "why" and happened.attributes[0].value.string_value == "reset"
        (linked,) = found.links
        assert linked.trace_id.hex().encode() == IDS[0] and linked.flags == 0x301 and linked.trace_state.encode() == state
        assert found.HasField("status") is (error is not None)
        if error is not None:
            assert found.status.code == Status.STATUS_CODE_ERROR


def test_a_span_without_a_parent_that_ends_before_it_begins() -> None:
    (found,) = read(span((*IDS[:2], b""), b"", "x", CLIENT, (9, 4), [], 1, None))
    assert not found.parent_span_id and found.end_time_unix_nano == found.start_time_unix_nano == 9


def test_attributes_that_are_kept_are_bounded() -> None:
    for number in range(MAX_CACHED + 10):
        common_attribute("key", str(number))
    assert len(_cached) <= MAX_CACHED


@settings(max_examples=30)
@given(st.integers(0, 2**64 - 1))
def test_varint(number: int) -> None:
    response = ExportTraceServiceResponse.FromString(b"\x0a" + varint(1 + len(varint(number))) + b"\x08" + varint(number))
    assert response.partial_success.rejected_spans % 2**64 == number


@settings(max_examples=30)
@given(st.integers(0, 2**40), st.text(max_size=200))
def test_what_was_rejected_is_read(count: int, why: str) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=count, error_message=why)
    assert rejected(ExportTraceServiceResponse(partial_success=partial).SerializeToString()) == (count, why)


@pytest.mark.parametrize("response", [b"", b"{}", b"\xff" * 50, b"\x0a\x7f", b"\x0a\x02\x08", b"\x08\x01", b"\x0b"])
def test_what_cant_be_read_rejects_nothing(response: bytes) -> None:
    assert rejected(response) == (0, "")


@settings(max_examples=30)
@given(st.binary(max_size=60))
def test_no_answer_raises(response: bytes) -> None:
    rejected(response)
