"""What conditions of rules hold for, and that those of a denial are not passed by a second value, a spelling or an unknown."""

from __future__ import annotations

import pytest
from contexts import request_context

from balance.config.route_model import Condition
from balance.stages.request_context import RequestContext
from balance.stages.rules.rule_conditions import compile_condition, subjects


def check(subject: str, operator: str, value: str | bool | tuple[str, ...], name: str = "") -> Condition:
    return Condition(operator, subject, name, value)


def negated(condition: Condition) -> Condition:
    return Condition("not", conditions=(condition,))


def holds(condition: Condition, context: RequestContext, *, is_denial: bool = False) -> bool:
    return compile_condition(condition, is_denial=is_denial).holds(context, context.path)


@pytest.mark.parametrize("is_denial", [False, True])
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (check("path", "equals", "/shop/cart"), True),
        (check("path", "equals", "/shop"), False),
        (check("path", "in", ("/a", "/shop/cart")), True),
        (check("path", "prefix", "/sho"), True),  # of text
        (check("path", "prefix", "/shop/cart/"), False),
        (check("path", "suffix", "/cart"), True),
        (check("path", "suffix", "/car"), False),
        (check("path", "contains", "p/c"), True),
        (check("path", "contains", "x"), False),
        (check("path", "regex", "^/sh.p/"), True),
        (check("path", "regex", "^/shop$"), False),
        (check("host", "equals", "Shop.Example.:80"), True),
        (check("host", "equals", "example"), False),
        (check("host", "suffix", ".Example"), True),
        (check("host", "exists", True), True),
        (check("method", "equals", "GET"), True),
        (check("method", "in", ("PUT", "POST")), False),
        (check("scheme", "equals", "http"), True),
        (check("scheme", "equals", "https"), False),
        (check("client_ip", "cidr", ("10.0.0.0/8", "192.0.2.0/24")), True),
        (check("client_ip", "cidr", ("192.0.2.1",)), True),
        (check("client_ip", "cidr", ("::ffff:192.0.2.0/120",)), True),
        (check("client_ip", "cidr", ("10.0.0.0/8", "2001:db8::/32")), False),
        (check("client_ip", "equals", "192.0.2.1"), True),
        (check("client_ip", "in", ("192.0.2.2", "192.0.2.3")), False),
        (check("client_ip", "prefix", "192.0."), True),
        (check("client_ip", "exists", True), True),
        (check("region", "equals", "eu"), True),
        (check("region", "exists", True), True),
        (check("header", "equals", "yes", "X-Beta"), True),
        (check("header", "equals", "yes", "x-beta"), True),
        (check("header", "equals", "Yes", "x-beta"), False),
        (check("header", "exists", True, "x-beta"), True),
        (check("header", "exists", False, "x-beta"), False),
        (check("header", "exists", False, "x-other"), True),
        (check("header", "prefix", "", "x-other"), False),
        (check("cookie", "equals", "1", "user"), True),
        (check("cookie", "equals", "1", "User"), False),
        (check("query", "equals", "a b", "q"), True),
        (check("query", "exists", True, "Q"), False),
    ],
)
def test_operators_on_subjects(condition, expected, is_denial):
    context = request_context(b"/shop/cart?q=a+b", b"X-Beta: yes\r\nCookie: user=1\r\n", region="eu")
    assert holds(condition, context, is_denial=is_denial) is expected
    assert holds(negated(condition), context, is_denial=is_denial) is not expected
    assert holds(negated(negated(condition)), context, is_denial=is_denial) is expected


YES, NO = check("path", "prefix", "/"), check("path", "equals", "/other")


@pytest.mark.parametrize(
    ("operator", "conditions", "expected"),
    [
        ("all", (YES, YES), True),
        ("all", (YES, NO), False),
        ("all", (), True),
        ("any", (NO, YES), True),
        ("any", (NO, NO), False),
        ("any", (), False),
        ("all", (YES, Condition("any", conditions=(NO, negated(NO)))), True),
    ],
)
def test_combinations(operator, conditions, expected):
    condition = Condition(operator, conditions=conditions)
    assert holds(condition, request_context()) is expected
    assert holds(negated(condition), request_context()) is not expected


@pytest.mark.parametrize(
    ("target", "lines", "subject", "name"),
    [
        (b"/", b"X-Role: %b\r\nX-Role: %b\r\n", "header", "x-role"),
        (b"/", b"Cookie: role=%b\r\nCookie: role=%b\r\n", "cookie", "role"),
        (b"/", b"Cookie: role=%b; role=%b\r\n", "cookie", "role"),
        (b"/?role=%b&role=%b", b"", "query", "role"),
    ],
)
@pytest.mark.parametrize("values", [(b"good", b"bad"), (b"bad", b"good")])
def test_a_denial_looks_at_every_value_and_others_at_the_first(target, lines, subject, name, values):
    context = request_context(target % values if b"%" in target else target, lines % values if lines else b"")
    is_bad, is_good = check(subject, "equals", "bad", name), check(subject, "equals", "good", name)
    assert holds(is_bad, context, is_denial=True)
    assert holds(negated(is_good), context, is_denial=True)  # "all but the good"
    assert holds(is_bad, context) is (values[0] == b"bad")
    assert holds(negated(is_good), context) is (values[0] == b"bad")


def test_who_lacks_a_value_is_not_the_one_that_is_let_through():
    assert holds(negated(check("header", "equals", "good", "x-role")), request_context(), is_denial=True)
    assert not holds(check("header", "equals", "bad", "x-role"), request_context(), is_denial=True)


@pytest.mark.parametrize("client", ["", "unix", "not an address"])
@pytest.mark.parametrize("operator", ["cidr", "equals", "in"])
def test_an_unknown_address_is_in_no_network_and_lets_nobody_through(client, operator):
    inside = check("client_ip", operator, ("10.0.0.0/8",) if operator != "equals" else "10.0.0.1")
    context = request_context(client=client)
    assert not holds(inside, context)
    assert not holds(negated(inside), context)
    assert not holds(inside, context, is_denial=True)
    assert holds(negated(inside), context, is_denial=True)
    assert not holds(check("client_ip", "exists", True), context)


@pytest.mark.parametrize("client", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_a_mapped_address_is_the_ipv4_one(client):
    context = request_context(client=client)
    assert holds(check("client_ip", "cidr", ("10.0.0.0/8",)), context)
    assert holds(check("client_ip", "equals", "10.1.2.3"), context)
    assert holds(check("client_ip", "regex", "^10[.]"), context)
    assert not holds(check("client_ip", "cidr", ("::/0",)), context)


@pytest.mark.parametrize("region", ["", "unknown"])
def test_an_unknown_region_has_its_own_name_and_lets_nobody_through(region):
    context = request_context(region=region)
    is_eu, is_unknown = check("region", "equals", "eu"), check("region", "equals", "unknown")
    assert holds(is_unknown, context)
    assert not holds(is_eu, context)
    assert not holds(negated(is_eu), context)
    assert holds(negated(is_eu), context, is_denial=True)
    assert not holds(check("region", "exists", True), context)


@pytest.mark.parametrize(
    ("method", "is_denied", "is_allowed", "others_are_denied"),
    [(b"GET", True, True, False), (b"HEAD", True, True, False), (b"get", True, False, True), (b"POST", False, False, True)],
)
def test_methods(method, is_denied, is_allowed, others_are_denied):
    context = request_context(method=method)
    is_get = check("method", "equals", "GET")
    assert holds(is_get, context, is_denial=True) is is_denied
    assert holds(is_get, context) is is_allowed
    assert holds(negated(is_get), context, is_denial=True) is others_are_denied


@pytest.mark.parametrize("value", [b'"bad"', b"%62ad", b'"b%61d"'])
def test_a_denial_reads_cookies_as_backends_do(value):
    context = request_context(forward=b"Cookie: role=%b\r\n" % value)
    assert holds(check("cookie", "equals", "bad", "role"), context, is_denial=True)
    assert not holds(check("cookie", "equals", "bad", "role"), context)


@pytest.mark.parametrize("path", [b"/my%20file", b"/my file"])
def test_paths_are_compared_as_written_and_decoded(path):
    condition = compile_condition(check("path", "equals", "/my%20file"), is_denial=False)
    assert condition.holds(request_context(), path)


def test_subjects():
    condition = negated(Condition("any", conditions=(check("method", "equals", "GET"), check("path", "equals", "/"))))
    assert subjects(condition) == {"method", "path"}
    assert subjects(negated(check("query", "equals", "/", "path"))) == {"query"}
