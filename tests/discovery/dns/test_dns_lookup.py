"""Records, denials and failures are three things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.dns.lookup import MAX_TTL, Lookup, Record, RecordType, Service, Status, read_answer

A, CNAME, AAAA, SRV = RecordType.A, RecordType.CNAME, RecordType.AAAA, RecordType.SRV


def record(name: str, kind: int, data: str | Service, ttl: int = 60) -> Record:
    return Record(name, kind, ttl, data)


CASES: dict[str, tuple[RecordType, list[Record], Lookup]] = {
    "addresses": (
        A,
        [record("app.test", A, "10.0.0.1"), record("app.test", A, "10.0.0.2", 30)],
        Lookup(Status.FOUND, ("10.0.0.1", "10.0.0.2"), 30),
    ),
    "upper case and a final dot": (A, [record("APP.test.", A, "10.0.0.1")], Lookup(Status.FOUND, ("10.0.0.1",), 60)),
    "twice the same": (A, [record("app.test", A, "10.0.0.1")] * 2, Lookup(Status.FOUND, ("10.0.0.1",), 60)),
    "an IPv6 address is written in one way": (
        AAAA,
        [record("app.test", AAAA, "2001:DB8:0:0::1")],
        Lookup(Status.FOUND, ("2001:db8::1",), 60),
    ),
    "CNAMEs, whose TTL counts too": (
        A,
        [
            record("c.test", A, "10.0.0.1"),
            record("app.test", CNAME, "b.test.", 7),
            record("b.test", CNAME, "c.test."),
        ],
        Lookup(Status.FOUND, ("10.0.0.1",), 7),
    ),
    "a CNAME to nothing of this type": (AAAA, [record("app.test", CNAME, "b.test")], Lookup(Status.NO_RECORDS)),
    "records that nobody asked for": (
        A,
        [record("app.test", A, "10.0.0.1"), record("bank.test", A, "10.6.6.6")],
        Lookup(Status.FOUND, ("10.0.0.1",), 60),
    ),
    "a TTL with its first bit set (RFC 2181)": (
        A,
        [record("app.test", A, "10.0.0.1", 2**31)],
        Lookup(Status.FOUND, ("10.0.0.1",), 0),
    ),
    "no service, and it says so": (SRV, [record("app.test", SRV, Service(0, 0, 0, "."))], Lookup(Status.NO_RECORDS, (), 60)),
    "a thousand": (
        A,
        [record("app.test", A, f"10.0.{i // 256}.{i % 256}") for i in range(1, 1001)],
        Lookup(Status.FOUND, tuple(f"10.0.{i // 256}.{i % 256}" for i in range(1, 1001)), 60),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_answer_is_read_along_its_cnames(case: str) -> None:
    kind, records, expected = CASES[case]
    assert read_answer("app.test", kind, records) == expected


FAILURES: dict[str, tuple[RecordType, list[Record], str]] = {
    "nothing at all: c-ares gives YXDOMAIN, NOTAUTH and other rare codes so": (A, [], "not about the question"),
    "nothing but others' records": (A, [record("bank.test", A, "10.6.6.6")], "not about the question"),
    "a circle": (
        A,
        [record("app.test", CNAME, "b.test"), record("b.test", CNAME, "APP.test.")],
        "in a circle, back to app.test",
    ),
    "itself": (A, [record("app.test", CNAME, "app.test")], "in a circle"),
    "what a filter answers for a blocked name": (
        A,
        [record("app.test", A, "0.0.0.0")],
        "0.0.0.0, which is no server's address",
    ),
    "the same in IPv6": (AAAA, [record("app.test", AAAA, "::")], "::, which is no server's address"),
    "multicast": (A, [record("app.test", A, "224.0.0.1")], "no server's address"),
    "link-local": (AAAA, [record("app.test", AAAA, "fe80::1")], "leads nowhere without an interface"),
    "port 0": (SRV, [record("app.test", SRV, Service(0, 0, 0, "a.test"))], "port 0"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_answer_that_says_nothing_does_not_say_that_there_is_nobody(case: str) -> None:
    kind, records, words = FAILURES[case]
    lookup = read_answer("app.test", kind, records)
    assert lookup.is_failed and words in lookup.words


def test_what_is_unusable_beside_usable_is_left_out_and_said() -> None:
    lookup = read_answer("app.test", A, [record("app.test", A, "0.0.0.0"), record("app.test", A, "10.0.0.1")])
    assert lookup.values == ("10.0.0.1",) and "0.0.0.0" in lookup.words


NAMES = st.sampled_from(["app.test", "APP.test.", "b.test", "c.test", "", "."])
RECORDS = st.lists(
    st.one_of(
        st.builds(
            Record, NAMES, st.sampled_from([A, AAAA]), st.integers(0, 2**32 - 1), st.sampled_from(["10.0.0.1", "::1", "x"])
        ),
        st.builds(Record, NAMES, st.just(CNAME), st.integers(0, 2**32 - 1), NAMES),
    ),
    max_size=6,
)


@given(RECORDS)
def test_whatever_an_answer_has_only_an_alias_of_the_name_can_say_that_there_is_nobody(records: list[Record]) -> None:
    lookup = read_answer("app.test", A, records)
    assert {*lookup.values} <= {"10.0.0.1", "::1"} and 0 <= lookup.ttl_s <= MAX_TTL
    if lookup.status is Status.NO_RECORDS:
        assert any(record.type == CNAME and record.name.lower().rstrip(".") == "app.test" for record in records)
