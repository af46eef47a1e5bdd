"""What a failure here is to a gRPC client, and what a backend's status says about the backend."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.grpc import statuses
from balance.grpc.content_type import GRPC, WEB_TEXT
from balance.grpc.own_reply import error_lines, status_lines
from balance.grpc.status_message import encode_message
from balance.grpc.statuses import NAMES, NONE, failure_of, name_of, read_status, status_of
from balance.model import Why


@pytest.mark.parametrize(
    ("status", "why", "expected"),
    [
        (401, Why.UNAUTHORIZED, 16),
        (403, Why.DENIED, 7),
        (404, Why.NO_ROUTE, 12),
        (429, Why.DENIED, 14),
        (502, Why.CONNECT_REFUSED, 14),
        (503, Why.NO_HEALTHY, 14),
        (504, Why.RESPONSE_HEADER_TIMEOUT, 14),
        (400, Why.BAD_REQUEST, 13),
        (504, Why.TOTAL_TIMEOUT, 4),
        (429, Why.RATE_LIMITED, 8),
        (413, Why.BODY_TOO_LARGE, 8),
        (431, Why.HEADER_TOO_LARGE, 8),
        (503, Why.LIMIT, 8),
        (502, Why.BAD_RESPONSE, 13),
        (451, Why.DENIED, 2),
    ],
)
def test_our_own_errors_have_the_status_that_clients_expect(status: int, why: Why, expected: int) -> None:
    assert status_of(status, why) == expected


@pytest.mark.parametrize("status", range(17))
def test_only_statuses_that_a_server_is_to_blame_for_count_as_5xx(status: int) -> None:
    is_failure = NAMES[status] in ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "DATA_LOSS", "DEADLINE_EXCEEDED")
    assert (failure_of(status, had_time=True) >= 500) == is_failure


def test_a_deadline_blames_a_backend_only_when_it_had_half_of_the_time() -> None:
    assert failure_of(statuses.DEADLINE_EXCEEDED, had_time=False) == 200
    assert failure_of(statuses.UNAVAILABLE, had_time=False) == 503


def test_a_reply_without_a_status_is_a_failure() -> None:
    assert failure_of(NONE, had_time=False) == 502


@pytest.mark.parametrize(
    ("value", "status"),
    [(b"0", 0), (b"14", 14), (b"", 2), (b"-1", 2), (b"x", 2), (b"99999", 2), (b"17", 2), (b"\xb2", 2)],
)
def test_a_status_that_is_no_number_is_unknown(value: bytes, status: int) -> None:
    assert read_status(value) == status


def test_statuses_have_names() -> None:
    assert (name_of(0), name_of(16)) == ("OK", "UNAUTHENTICATED")


def test_a_message_is_percent_encoded() -> None:
    assert encode_message("no backend is ready: 100 %\n") == b"no backend is ready: 100 %25%0A"
    assert encode_message("größe") == b"gr%C3%B6%C3%9Fe"


@given(st.text())
def test_any_message_is_a_field_value_and_decodes_to_itself(text: str) -> None:
    value = encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in value)
    assert value == value.strip(b" ")
    if all(not 0xD800 <= ord(c) < 0xE000 for c in text):
        assert unquote(value.decode()) == text


def test_an_error_is_trailers_only_and_names_the_reason() -> None:
    assert error_lines(GRPC, 503, Why.NO_HEALTHY, "no backend is ready") == (
        b"content-type: application/grpc\r\ngrpc-status: 14\r\ngrpc-message: no backend is ready (no_healthy)\r\n"
    )


def test_a_web_client_gets_its_own_content_type() -> None:
    assert status_lines(WEB_TEXT, 0, "") == b"content-type: application/grpc-web-text+proto\r\ngrpc-status: 0\r\n"
