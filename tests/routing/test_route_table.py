"""Routes are found in the documented order, as quickly among many as among few. A slow matcher says what is right."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.config.route_model import RouteMatch, ValueMatch
from balance.config.route_order import order_key
from balance.http1.head import RequestFields
from balance.routing.request_view import RequestView
from balance.routing.route_table import NO_MATCH, RouteTable


def view(target: str = "/", **fields: str) -> RequestView:
    parsed = RequestFields()
    parsed.forward = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()).encode()
    return RequestView(parsed, target.encode())


def find(matches: list[RouteMatch], host: str = "h", path: str = "/", method: str = "GET", **fields: str) -> int:
    found = view(path, **fields)
    return RouteTable(matches).find(found, host, method.encode(), path.partition("?")[0].encode())


def prefix(path: str, **others: object) -> RouteMatch:
    return RouteMatch(path_operator="prefix", path=path, **others)


def exact(path: str, **others: object) -> RouteMatch:
    return RouteMatch(path_operator="exact", path=path, **others)


def regex(path: str, **others: object) -> RouteMatch:
    return RouteMatch(path_operator="regex", path=path, **others)


@pytest.mark.parametrize(
    ("match", "path", "is_match"),
    [
        *((prefix(written), path, True) for written in ("/foo", "/foo/") for path in ("/foo", "/foo/", "/foo/x", "/foo//")),
        *(
            (prefix(written), path, False)
            for written in ("/foo", "/foo/")
            for path in ("/foobar", "/fo", "/", "/x/foo", "/Foo")
        ),
        *((prefix("/"), path, True) for path in ("/", "/x", "//")),
        (prefix("/"), "*", False),  # of OPTIONS
        (RouteMatch(), "*", True),
        (exact("/foo"), "/foo", True),
        (exact("/foo"), "/foo/", False),
        (exact("/foo/"), "/foo", False),
        (exact("/my%20file"), "/my%20file", True),
        (exact("/my%20file"), "/my file", True),
        (exact("/a%2fb"), "/a%2Fb", True),
        (prefix("/my%20files"), "/my files/x", True),
        (regex("^/v[0-9]+/"), "/v12/x", True),
        (regex("^/v[0-9]+/"), "/vx/", False),
        (regex("v1"), "/api/v1", True),  # searched
    ],
)
def test_paths(match, path, is_match):
    assert (find([match], path=path) == 0) is is_match


@pytest.mark.parametrize(
    ("written", "host", "is_match"),
    [
        ("example.com", "example.com", True),
        ("Example.com.", "example.com", True),
        ("example.com", "www.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "notexample.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "a.example.com.evil", False),
        ("[::1]", "[::1]", True),
        ("", "example.com", True),
        ("", "", True),
        ("example.com", "", False),
    ],
)
def test_hosts(written, host, is_match):
    assert (find([RouteMatch(host=written)], host=host) == 0) is is_match


@pytest.mark.parametrize(
    ("methods", "method", "is_match"),
    [
        (("GET",), "GET", True),
        (("GET",), "HEAD", True),
        (("POST",), "HEAD", False),
        (("HEAD",), "GET", False),
        (("GET",), "get", False),
        (("get",), "GET", False),
        (("POST", "PUT"), "PUT", True),
        ((), "WHATEVER", True),
    ],
)
def test_methods(methods, method, is_match):
    assert (find([RouteMatch(methods=methods)], method=method) == 0) is is_match


@pytest.mark.parametrize(
    ("conditions", "path", "fields", "is_match"),
    [
        ({"headers": (ValueMatch("x-beta", value="1"),)}, "/", {"X_Beta": "1"}, True),
        ({"headers": (ValueMatch("x-beta", value="1"),)}, "/", {"X_Beta": "2"}, False),
        ({"headers": (ValueMatch("x-beta", value="1"),)}, "/", {}, False),
        ({"headers": (ValueMatch("x-beta", "present"),)}, "/", {"X_Beta": ""}, True),
        ({"headers": (ValueMatch("x-beta", "present"),)}, "/", {}, False),
        ({"headers": (ValueMatch("x-beta", "absent"),)}, "/", {}, True),
        ({"headers": (ValueMatch("x-beta", "absent"),)}, "/", {"X_Beta": ""}, False),
        ({"headers": (ValueMatch("user-agent", "prefix", "curl/"),)}, "/", {"User_Agent": "curl/8"}, True),
        ({"headers": (ValueMatch("user-agent", "prefix", "curl/"),)}, "/", {"User_Agent": "xcurl/8"}, False),
        ({"headers": (ValueMatch("user-agent", "regex", "^curl/[78]"),)}, "/", {"User_Agent": "curl/8.1"}, True),
        ({"headers": (ValueMatch("user-agent", "regex", "^curl/[78]"),)}, "/", {"User_Agent": "curl/9"}, False),
        ({"query": (ValueMatch("a", value="1"),)}, "/?a=1&a=2", {}, True),
        ({"query": (ValueMatch("a", value="2"),)}, "/?a=1&a=2", {}, False),
        ({"query": (ValueMatch("a", value="x y"),)}, "/?a=x+y", {}, True),
        ({"query": (ValueMatch("a", value="x y"),)}, "/?a=x%20y", {}, True),
        ({"query": (ValueMatch("a", "present"),)}, "/?A=1", {}, False),
        ({"query": (ValueMatch("a", "regex", "^[0-9]+$"),)}, "/?a=77", {}, True),
        ({"cookies": (ValueMatch("canary", value="always"),)}, "/", {"Cookie": "notcanary=always"}, False),
        ({"cookies": (ValueMatch("canary", value="always"),)}, "/", {"Cookie": "x=1; canary=always"}, True),
        ({"cookies": (ValueMatch("canary", value="always"),)}, "/", {"Cookie": "canary=no; canary=always"}, False),
    ],
)
def test_conditions_go_by_the_first_value(conditions, path, fields, is_match):
    assert (find([RouteMatch(**conditions)], path=path, **fields) == 0) is is_match


BETA = (ValueMatch("x-beta", "present"),)

# Routes in their order, and a request that all of them match: each comes first once those before it are gone, however they are
# written in the file.
ORDERED = [
    RouteMatch(priority=5),
    RouteMatch(host="a.b.example.com", path_operator="exact", path="/x/y", methods=("GET",)),
    RouteMatch(host="a.b.example.com", path_operator="exact", path="/x/y"),
    RouteMatch(host="a.b.example.com", path_operator="regex", path="x"),
    RouteMatch(host="a.b.example.com", path_operator="prefix", path="/x/y"),
    RouteMatch(host="a.b.example.com", path_operator="prefix", path="/x", methods=("GET",), headers=BETA),
    RouteMatch(host="a.b.example.com", path_operator="prefix", path="/x", headers=BETA),
    RouteMatch(host="a.b.example.com", path_operator="prefix", path="/x"),
    RouteMatch(host="a.b.example.com", path_operator="prefix", path="/"),
    RouteMatch(host="a.b.example.com"),
    RouteMatch(host="*.b.example.com", path_operator="prefix", path="/"),
    RouteMatch(host="*.b.example.com", headers=BETA),
    RouteMatch(host="*.b.example.com"),
    RouteMatch(host="*.example.com", path_operator="exact", path="/x/y"),
    RouteMatch(host="*.com", path_operator="exact", path="/x/y"),
    RouteMatch(path_operator="exact", path="/x/y"),
    RouteMatch(path_operator="regex", path="^/x"),
    RouteMatch(path_operator="prefix", path="/x/y"),
    RouteMatch(),
    RouteMatch(host="a.b.example.com", path_operator="exact", path="/x/y", methods=("GET",), headers=BETA, priority=-1),
]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_the_documented_one_whatever_the_files(seed):
    written = ORDERED[:]
    random.Random(seed).shuffle(written)
    for expected in ORDERED:
        found = find(written, "a.b.example.com", "/x/y", X_Beta="1")
        assert written[found] == expected
        written.remove(expected)
    assert find(written, "a.b.example.com", "/x/y") == NO_MATCH


def test_regular_expressions_and_equals_are_tried_in_the_order_of_the_file():
    assert find([regex("a"), regex("aa"), regex("aaa", headers=BETA)], path="/aaa", X_Beta="1") == 0
    assert find([regex("b"), regex("aa"), regex("a")], path="/aaa") == 1
    assert find([exact("/a", methods=("GET",)), exact("/a", headers=BETA)], path="/a", X_Beta="1") == 0


def test_a_catch_all_prefix_hides_no_regular_expression():
    assert find([prefix("/"), regex(r"\.php$")], path="/x.php") == 1


def test_a_hostile_path_meets_a_hostile_pattern():
    """With a pattern that backtracks this would not end."""
    assert find([regex("^/(a+)+$"), prefix("/")], path="/" + "a" * 8000 + "!") == 1


def test_a_path_of_many_segments_is_looked_up_as_far_as_prefixes_go():
    assert find([prefix("/a"), prefix("/a/b")], path="/a" + "/" * 8000) == 0
    assert find([prefix("/a"), prefix("/" * 100 + "b")], path="/" * 8000) == NO_MATCH


def test_an_exact_host_whose_paths_do_not_match_falls_through():
    routes = [prefix("/api", host="www.example.com"), prefix("/", host="*.example.com"), RouteMatch()]
    assert find(routes, "www.example.com", "/api/x") == 0
    assert find(routes, "www.example.com", "/x") == 1
    assert find(routes, "example.com", "/x") == 2
    assert find(routes[:1], "www.example.com", "/x") == NO_MATCH


HOSTS = ["", "a.test", "b.a.test", "c.b.a.test", "*.a.test", "*.b.a.test", "*.test"]
SEGMENTS = ["", "a", "b", "ab"]
OPERATORS = ["equals", "prefix", "regex", "present", "absent"]
paths = st.lists(st.sampled_from(SEGMENTS), max_size=4).map(lambda segments: "/" + "/".join(segments))
value_matches = st.builds(
    ValueMatch,
    name=st.sampled_from(["x", "y"]),
    operator=st.sampled_from(OPERATORS),
    value=st.sampled_from(["1", "12"]),
)
some = st.lists(value_matches, max_size=2).map(tuple)
path_matches = st.one_of(
    st.just(("", "")),
    st.tuples(st.sampled_from(["exact", "prefix"]), paths),
    st.tuples(st.just("regex"), st.sampled_from(["^/a", "b$", "a/b", "."])),
)
matches = st.builds(
    lambda host, path, methods, headers, query, cookies, priority: RouteMatch(
        host, path[0], path[1], methods, headers, query, cookies, priority
    ),
    st.sampled_from(HOSTS),
    path_matches,
    st.sampled_from([(), (), ("GET",), ("POST", "PUT"), ("HEAD",)]),
    some,
    some,
    some,
    st.sampled_from([0, 0, 0, 1, -1]),
)
values = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["", "1", "12", "3"]), max_size=2)


def naive(routes, host, method, path, headers, query, cookies):
    """The same by trying each route in order."""

    def holds(condition, given):
        value = given.get(condition.name)
        if value is None or condition.operator in ("absent", "present"):
            return condition.operator == ("absent" if value is None else "present")
        return {
            "equals": value == condition.value,
            "prefix": value.startswith(condition.value),
            "regex": re.search(condition.value, value) is not None,
        }[condition.operator]

    def is_match(route):
        written = route.path.rstrip("/")
        return (
            (not route.host or route.host == host or (route.host[0] == "*" and host.endswith(route.host[1:])))
            and {
                "": True,
                "exact": path == route.path,
                "prefix": path == written or path.startswith(written + "/"),
                "regex": re.search(route.path, path) is not None,
            }[route.path_operator]
            and (not route.methods or method in route.methods or (method == "HEAD" and "GET" in route.methods))
            and all(holds(each, headers) for each in route.headers)
            and all(holds(each, query) for each in route.query)
            and all(holds(each, cookies) for each in route.cookies)
        )

    for index in sorted(range(len(routes)), key=lambda index: order_key(routes[index], index)):
        if is_match(routes[index]):
            return index
    return NO_MATCH


def check_against_naive(routes, host, method, path, headers, query, cookies):
    target = path + "?" + "&".join(f"{name}={value}" for name, value in query.items())
    fields = dict(headers)
    if cookies:
        fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    found = RouteTable(routes).find(view(target, **fields), host, method.encode(), path.encode())
    assert found == naive(routes, host, method, path, headers, query, cookies)


ASKED_HOSTS = ["a.test", "b.a.test", "d.a.test", "c.b.a.test", "x.c.b.a.test", "other", "test"]
ASKED_METHODS = ["GET", "HEAD", "POST", "DELETE"]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(matches, max_size=12))
def test_the_table_finds_what_trying_each_route_finds(data, routes):
    for _ in range(5):
        host, method = data.draw(st.sampled_from(ASKED_HOSTS)), data.draw(st.sampled_from(ASKED_METHODS))
        check_against_naive(routes, host, method, data.draw(paths), *[data.draw(values) for _ in range(3)])


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, 4000, 1000))
def test_thousands_of_tables_find_what_trying_each_route_finds(start):
    """By plain dice: hypothesis takes a quarter of an hour to draw so many. The number of a table that fails makes it again."""
    for number in range(start, start + 1000):
        dice = random.Random(number)
        routes = [a_route(dice) for _ in range(dice.randrange(26))]
        for _ in range(5):
            given = [{name: dice.choice(["", "1", "12", "3"]) for name in "xy" if dice.random() < 0.5} for _ in range(3)]
            check_against_naive(routes, dice.choice(ASKED_HOSTS), dice.choice(ASKED_METHODS), a_path(dice), *given)


def a_path(dice):
    return "/" + "/".join(dice.choice(SEGMENTS) for _ in range(dice.randrange(5)))


def a_route(dice):
    """As `matches` draws."""
    operator = dice.choice(["", "exact", "prefix", "regex"])
    path = (
        {"": "", "regex": dice.choice(["^/a", "b$", "a/b", "."])}.get(operator) if operator in ("", "regex") else a_path(dice)
    )
    conditions = [
        tuple(
            ValueMatch(dice.choice("xy"), dice.choice(OPERATORS), dice.choice(["1", "12"]))
            for _ in range(dice.choice([0, 0, 1, 2]))
        )
        for _ in range(3)
    ]
    methods = dice.choice([(), (), ("GET",), ("POST", "PUT"), ("HEAD",)])
    return RouteMatch(dice.choice(HOSTS), operator, path, methods, *conditions, dice.choice([0, 0, 0, 1, -1]))
