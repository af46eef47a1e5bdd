"""What Consul's health endpoint says: addresses, weights, tags, and what is left out; S9 and S11 as tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import instance

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.consul_health import failure_of_status, health_of, next_index
from balance.discovery.endpoint import Endpoint, checked_address, checked_name

FILTERED = {"x-consul-results-filtered-by-acls": "true"}


def answer(*entries: dict[str, Any], tags: tuple[str, ...] = ()) -> Answer:
    report = health_of(json.dumps(entries).encode(), {}, tags)
    assert isinstance(report, Answer), report
    return report


def test_what_an_instance_says_of_itself() -> None:
    entry = instance("10.0.0.1", 8080, "node-1", ID="web-1", Meta={"region": "eu"})
    assert answer(entry) == Answer((Endpoint("10.0.0.1:8080", "web-1@node-1", weight=10, region="eu"),))


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        (instance("10.0.0.1"), "10.0.0.1:80"),
        (instance(""), "10.9.9.9:80"),  # S11
        (instance(" "), "10.9.9.9:80"),
        (instance("fd00::1"), "[fd00::1]:80"),
        (instance("", node_address="fd00::2"), "[fd00::2]:80"),
        (instance("web.internal.example"), "web.internal.example:80"),
    ],
    ids=range(6),
)
def test_addresses(entry: dict[str, Any], address: str) -> None:
    assert [each.address for each in answer(entry).endpoints] == [address]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (instance("", node_address=""), "web@n1 has no address"),  # S11: an empty host with a port is no backend
        (instance("10.0.0.2", 0), "web@n1 has no port"),
        (instance("10.0.0.2", "80"), "web@n1 has no port"),
        (instance("10.0.0.2", 70000), "web@n1 has no port"),
        (instance("10.0.0.2", True), "web@n1 has no port"),
        (instance("0.0.0.0"), "web@n1 has no address: '0.0.0.0'"),
        (instance("a b"), "'a b' is not a host name"),
        (instance("10.0.0.2", Weights={"Passing": -1}), "web@n1 has a weight that is none"),
        (instance("10.0.0.2", Weights={"Passing": "x"}), "web@n1 has a weight that is none"),
        (instance("10.0.0.1", ID="old"), "old@n1 is at 10.0.0.1:80 too, like good@n1"),
        ({"Node": {}}, "an entry has no Service"),
        (7, "an entry has no Service"),
    ],
    ids=range(12),
)
def test_what_can_not_be_used_is_left_out_and_said(entry: Any, words: str) -> None:
    good = instance("10.0.0.1", ID="good")
    got = answer(good, entry)
    assert [each.name for each in got.endpoints] == ["good@n1"]
    assert len(got.partial) == 1 and words in got.partial[0]
    many = answer(good, *[entry] * 9).partial
    assert (len(many), many[-1]) == (6, "and 4 more")


def test_where_no_entry_can_be_used_nothing_is_known() -> None:
    assert health_of(json.dumps([instance("10.0.0.1", 0)]).encode(), {}) == SourceFailure(
        "no instance can be used: web@n1 has no port"
    )


@pytest.mark.parametrize(
    ("weights", "weight"),
    [({"Passing": 1}, 1), ({"Passing": 65535}, 65535), ({"Passing": 10**9}, 65535), ({"Passing": 0}, 0), ({}, 1), (None, 1)],
)
def test_weights(weights: Any, weight: int) -> None:
    assert answer(instance("10.0.0.1", Weights=weights)).endpoints[0].weight == weight


def test_only_who_passes_and_has_the_tags() -> None:
    """Whether or not the agent has filtered: agents of long ago know only one tag (traefik#5905 forgot checks)."""
    entries = [
        instance("10.0.0.1", Tags=["a", "b"]),
        instance("10.0.0.2", Tags=["a"]),
        instance("10.0.0.3", Tags=None),
        instance("10.0.0.4", Tags=["b", "a"], status="warning"),
        instance("10.0.0.5", Tags=["b", "a"], status="critical"),
    ]
    assert [each.address for each in answer(*entries, tags=("a", "b")).endpoints] == ["10.0.0.1:80"]
    assert answer(*entries[3:]) == Answer(())  # understood, and nobody serves


def test_the_same_id_on_many_nodes_is_many_backends() -> None:
    """The ID is the service's name unless it is given; names that would be the same are left to the address."""
    entries = [instance("10.0.0.1", node="n1"), instance("10.0.0.2", node="n2"), instance("10.0.0.3", node="n2")]
    assert [each.key for each in answer(*entries).endpoints] == ["web@n1", "web@n2", "10.0.0.3:80"]


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        (b"[]", {}, Answer(())),
        (b"[]", FILTERED, SourceFailure("the token may not read this service or its nodes (ACL: service:read and node:read)")),
        (
            b"[]",
            {"x-consul-knownleader": "false"},
            SourceFailure("it knows no cluster leader, so that its empty answer says nothing"),
        ),
        (b"null", {}, SourceFailure("its answer is no list of instances; is there a Consul agent at this address?")),
        (b"{}", {}, SourceFailure("its answer is no list of instances; is there a Consul agent at this address?")),
        (b'[{"Node": {', {}, SourceFailure("its answer breaks off: the JSON has no end")),
        (b"", {}, SourceFailure("its answer breaks off: the JSON has no end")),
        (b"<html>", {}, SourceFailure("its answer is not JSON (at byte 0)")),
    ],
    ids=range(8),
)
def test_nobody_and_nothing_known_are_different(body: bytes, fields: dict[str, str], expected: Answer | SourceFailure) -> None:
    assert health_of(body, fields) == expected


def test_a_flood_of_instances_is_refused() -> None:
    entries = [{"Service": {"ID": f"w{n}", "Address": f"10.0.{n >> 8}.{n & 255}", "Port": 80}} for n in range(10_001)]
    assert health_of(json.dumps(entries).encode(), {}) == SourceFailure("its answer has more than 10000 instances")


@pytest.mark.parametrize(
    ("said", "before", "index"),
    [("7", 0, 7), ("7", 7, 7), ("8", 7, 8), ("6", 7, 0), ("0", 0, 0), ("0", 7, 0), ("", 7, 0), ("-1", 7, 0), ("x", 0, 0),
     (" 9 ", 7, 9), ("18446744073709551615", 7, 18446744073709551615), ("9" * 30, 7, 0), ("٧", 0, 0)],
)  # fmt: skip
def test_the_index_of_the_next_query(said: str, before: int, index: int) -> None:
    """S9: one that goes back, or is 0, begins anew."""
    assert next_index(said, before) == index


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"No cluster leader", "it has no cluster leader"),
        (500, b"rpc error making call: No path to datacenter", "it knows no way to that datacenter"),
        (500, b"Internal <html>", "it answers 500"),
        (403, b"ACL not found", "it refuses the token (ACL not found); it needs service:read and node:read"),
        (
            403,
            b'token with AccessorID "secret" lacks permission',
            "it refuses the token (permission denied); it needs service:read and node:read",
        ),
        (401, b"secret", "it asks for a login (401); what is between here and Consul?"),
        (301, b"", "it answers 301 and leads to http://elsewhere/, which is not followed"),
        (400, b"Invalid index\n\x1b[0m", "it answers 400: Invalid index??[0m"),
        (429, b"Your IP is issuing too many concurrent connections", "it answers 429"),
    ],
    ids=range(9),
)
def test_what_a_refusal_says(status: int, body: bytes, words: str) -> None:
    assert failure_of_status(status, body, "http://elsewhere/") == words


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["10.0.0.1", "::1", "passing"]),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Node", "Service", "Address", "Port", "ID", "Weights", "Passing", "Checks", "Status"]), each
        )
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(
    st.lists(VALUES, max_size=3), st.dictionaries(st.sampled_from(["Address", "Port", "ID", "Weights", "Tags", "Meta"]), VALUES)
)
def test_whatever_comes_is_an_answer_or_a_failure(entries: list[Any], service: dict[str, Any]) -> None:
    mixed = instance("10.0.0.1")
    mixed["Service"] |= service
    got = health_of(json.dumps([*entries, mixed, instance("10.0.0.9", node="good")]).encode(), {})
    if isinstance(got, Answer):
        assert all(checked_address(each.address) == each.address and checked_name(each.key) for each in got.endpoints)
        assert len({each.key for each in got.endpoints}) == len(got.endpoints)
        assert "\n" not in "".join(got.partial)
