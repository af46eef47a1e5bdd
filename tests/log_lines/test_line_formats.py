"""A JSON line is what json.dumps would write of the record, and no text of a client ends or forges a line in any format."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_records import record

from balance.log_lines import line_formats
from balance.log_lines.access_record import FIELDS, NEVER_US, AccessRecord, FailedTry, RareFields
from balance.log_lines.line_formats import combined_line, json_line, milliseconds

NOW = 1_764_412_345.5678
HOSTILE = [
    "\n",
    "\r\n",
    '"',
    "\\",
    "\x1b[2J",
    "\0",
    "\x7f",
    "\x85",
    "\xff",
    "\u2028",
    "\u202e",
    "\U0001f600",
    "\ud800",
    '", "why": "ok',
]
texts = st.one_of(st.text(), st.sampled_from(HOSTILE))
times = st.one_of(st.just(NEVER_US), st.integers(0, 10**10))


def told(line: str) -> dict[str, object]:
    """The fields of a JSON line, in a program that keeps half characters as they are."""
    assert line.isascii() and line.isprintable() is False and line.count("\n") == 1 and line.endswith("\n")
    fields = json.loads(line)
    assert [name for name in FIELDS if name in fields] == list(fields)
    return dict(fields)


@given(
    texts, texts, texts, texts, texts, texts, st.tuples(times, times, times, times), st.integers(0, 999), st.integers(0, 10**12)
)
def test_json_line_says_what_the_record_has(
    client: str, method: str, path: str, host: str, referer: str, agent: str, us: tuple[int, int, int, int], few: int, many: int
) -> None:
    queue_us, connect_us, ttfb_us, total_us = us
    made = record(
        host, referer, agent, client=client, method=method, path=path, version=path, status=few, bytes_in=many, bytes_out=many,
        backend=method, pool=host, attempts=few, queue_us=queue_us, connect_us=connect_us, ttfb_us=ttfb_us, total_us=total_us,
        route=referer,
    )  # fmt: skip
    for values in (made, tuple(made)):  # the second time from what was kept
        line = told(json_line(values, NOW, 1.0))  # type: ignore[arg-type]
        assert line == {
            "time": "2025-11-29T10:32:25.567Z", "client": client, "method": method, "host": host, "path": path, "version": path,
            "status": few, "why": "ok", "bytes_in": many, "bytes_out": many, "backend": method, "pool": host, "attempts": few,
            "request_id": "id", "referer": referer, "user_agent": agent, "queue_ms": ms(queue_us), "connect_ms": ms(connect_us),
            "ttfb_ms": ms(ttfb_us), "total_ms": ms(total_us), "retry": "", "route": referer,
        }  # fmt: skip


def ms(us: int) -> float:
    return us / 1000 if us >= 0 else -1.0


@pytest.mark.parametrize(("us", "text"), [(-1, "-1.0"), (0, "0.000"), (999, "0.999"), (1000, "1.000"), (1_234_567, "1234.567")])
def test_milliseconds_have_three_decimals(us: int, text: str) -> None:
    assert milliseconds(us) == text


def test_rare_fields_stand_only_where_there_is_something_to_say() -> None:
    rare = RareFields("why so", (FailedTry("a", "connect_refused", 1.5),), "rules[0]", "ada", "eu", "us")
    said = told(json_line(record(rare=rare, retry="made"), NOW, 0.25))
    assert list(said.items())[-8:] == [
        ("retry", "made"), ("route", "r"), ("detail", "why so"),
        ("tries", [{"backend": "a", "why": "connect_refused", "ms": 1.5}]),
        ("rule", "rules[0]"), ("user", "ada"), ("region", "eu"), ("backend_region", "us"), ("sample", 0.25),
    ][1:]  # fmt: skip
    assert set(FIELDS) - set(told(json_line(record(rare=RareFields()), NOW, 1.0))) == {
        "detail", "tries", "rule", "user", "region", "backend_region", "trace_id", "span_id", "grpc_status", "sample"
    }  # fmt: skip
    assert told(json_line(record(), NOW, 0.01))["sample"] == 0.01
    assert told(json_line(record(rare=RareFields(grpc_status="OK")), NOW, 1.0))["grpc_status"] == "OK"


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_forges_a_line_in_any_format(text: str) -> None:
    rare = RareFields(detail=text, user=text)
    made = record(text, text, text, rare, path=text, method=text, version=text, request_id='a"\\b')
    assert told(json_line(made, NOW, 1.0))["user"] == text
    line = combined_line(made, NOW, 1.0)
    assert re.fullmatch(r"[ -~]*\n", line)
    # client - user [time] "line" status size "referer" "agent": no text adds a column
    assert re.fullmatch(r'192\.0\.2\.1 - \S+ \[[^]]+\] "(\\.|[^"\\])*" 200 2 "(\\.|[^"\\])*" "(\\.|[^"\\])*"\n', line)


def test_names_that_are_kept_are_bounded_in_number_and_length() -> None:
    kept = [line_formats._clients, line_formats._methods, line_formats._ends]
    for names in kept:
        names.clear()
    for number in range(line_formats.MAX_NAMES + 200):
        json_line(record(client=f"c{number}", method="m" * 1000 + str(number), route=f"r{number}"), NOW, 1.0)
        assert max(map(len, kept)) <= line_formats.MAX_NAMES
    assert len(line_formats._clients) > 0 and max(map(len, line_formats._methods), default=0) < 200


def test_combined_is_apaches() -> None:
    line = combined_line(record(referer="http://b/", user_agent="t", rare=RareFields(user="ada")), NOW, 1.0)
    assert re.fullmatch(
        r'192\.0\.2\.1 - ada \[29/Nov/2025:\d\d:\d\d:25 [+-]\d{4}\] "GET / HTTP/1\.1" 200 2 "http://b/" "t"\n', line
    )
    assert isinstance(record(), AccessRecord)
