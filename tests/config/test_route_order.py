"""The order in which routes are tried, routes that mean the same, and routes that are never reached."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.route_model import RouteConfig, RouteMatch, ValueMatch
from balance.config.route_order import covers, in_order, order_key, shadowed

HEADER = ValueMatch("x-a", "equals", "1")


def at(path: str = "", host: str = "", operator: str = "prefix", **others: object) -> RouteMatch:
    return RouteMatch(host=host, path_operator=operator if path else "", path=path, **others)  # type: ignore[arg-type]


# Each before the next one, whatever their places in the file.
LADDER = [
    at("/", priority=1),
    at("/a", "a.example.org", "exact", methods=("GET",), headers=(HEADER,)),
    at("/a", "a.example.org", "exact", methods=("GET",)),
    at("/a", "a.example.org", "exact"),
    at("^/x", "a.example.org", "regex"),
    at("/abc/def", "a.example.org"),
    at("/abc", "a.example.org", headers=(HEADER,)),
    at("/abc", "a.example.org"),
    at("/", "a.example.org"),
    at("", "a.example.org"),
    at("", "*.b.example.org"),
    at("/a", "*.example.org", "exact"),
    at("/a", "*.org", "exact"),
    at("/a", "", "exact"),
    at("^/", "", "regex"),
    at("/", ""),
    at("", "", headers=(HEADER,)),
    at(),
    at("/", priority=-1),
]


@given(st.randoms(use_true_random=False))
def test_the_order_is_total_and_the_files_order_decides_only_between_equals(rand: random.Random) -> None:
    shuffled = LADDER[:]
    rand.shuffle(shuffled)
    routes = [RouteConfig(str(index), match) for index, match in enumerate(shuffled)]
    assert [route.match for route in in_order(routes)] == LADDER


def test_regular_expressions_and_equals_are_in_the_files_order() -> None:
    matches = [at("^/b", operator="regex"), at("^/aaaa", operator="regex", headers=(HEADER,)), at("/"), at("/")]
    assert sorted(range(4), key=lambda index: order_key(matches[index], index)) == [0, 1, 2, 3]
    assert [route.name for route in in_order([RouteConfig("x"), RouteConfig("y")])] == ["x", "y"]


PRESENT, ABSENT = ValueMatch("x-a", "present"), ValueMatch("x-a", "absent")


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        (at(), at("/a", "h"), True),
        (at("/"), at(), True),
        (at("/"), at("^/a", operator="regex"), True),
        (at("/a"), at("/a/b"), True),
        (at("/a"), at("/a", operator="exact"), True),
        (at("/a"), at("/ab"), False),
        (at("/a", operator="exact"), at("/a"), False),
        (at("^/a", operator="regex"), at("/a", operator="exact"), False),  # not looked into
        (at("^/a", operator="regex"), at("^/a", operator="regex"), True),
        (at(host="*.b"), at(host="a.b"), True),
        (at(host="*.b"), at(host="x.a.b"), True),
        (at(host="*.b"), at(host="*.a.b"), True),
        (at(host="*.b"), at(host="b"), False),
        (at(host="*.b"), at(host="ab"), False),
        (at(host="a.b"), at(host="*.b"), False),
        (at(host="h"), at(), False),
        (at(methods=("GET",)), at(methods=("HEAD",)), True),
        (at(methods=("HEAD",)), at(methods=("GET",)), False),
        (at(methods=("GET", "POST")), at(methods=("POST",)), True),
        (at(methods=("GET",)), at(), False),
        (at(headers=(HEADER,)), at(headers=(HEADER,)), True),
        (at(headers=(HEADER,)), at(), False),
        (at(headers=(PRESENT,)), at(headers=(HEADER,)), True),
        (at(headers=(PRESENT,)), at(headers=(ABSENT,)), False),
        (at(query=(HEADER,)), at(headers=(HEADER,)), False),
        (at(cookies=(HEADER,)), at(cookies=(HEADER, PRESENT)), True),
    ],
)
def test_what_covers_what(wide: RouteMatch, narrow: RouteMatch, covered: bool) -> None:
    assert covers(wide, narrow) is covered


def places(*matches: RouteMatch) -> list[tuple[int, int, bool]]:
    return shadowed([RouteConfig(str(index), match) for index, match in enumerate(matches)])


def test_a_route_behind_one_that_takes_everything_is_never_reached() -> None:
    assert places(at("/a"), at("/", priority=1)) == [(0, 1, False)]
    assert places(at("/a"), at("/")) == []
    assert places(at("/a", methods=("GET",)), at("/a", methods=("HEAD",))) == [(1, 0, False)]
    assert places(at("^/a", operator="regex"), at("^/a", operator="regex", headers=(HEADER,))) == [(1, 0, False)]


def test_routes_that_mean_the_same_are_told_as_such() -> None:
    assert places(at("/a", "h"), at("/b"), at("/a", "h")) == [(2, 0, True)]
    assert places(at(methods=("GET", "POST")), at(methods=("POST", "GET"))) == [(1, 0, True)]


@pytest.mark.long
def test_ten_thousand_routes_are_compared_with_those_that_may_cover_them_alone() -> None:
    one_path = [at("/a", headers=(ValueMatch("x", "equals", str(number)),)) for number in range(5000)]
    many_paths = [at(f"/{number}/a/b", f"h{number}.example.org") for number in range(5000)]
    assert places(*one_path, *many_paths, at("/a/", priority=-1)) == []
