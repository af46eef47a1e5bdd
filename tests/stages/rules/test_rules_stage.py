"""Rules in their order, what each action does, and that no way to write a path leads past a denial."""

from __future__ import annotations

import pytest
from contexts import request_context

from balance.config.model import HttpConfig
from balance.config.route_model import Condition, Redirect, RouteConfig, Rule, TrafficPolicy
from balance.model import Why
from balance.stages.environment import StageEnvironment
from balance.stages.rules.rules_stage import RulesStage, rules_stage

ANY = Condition("all")


def under(path: str) -> Condition:
    return Condition("prefix", "path", value=path)


def header(name: str) -> Condition:
    return Condition("exists", "header", name, True)


def judged(*rules: Rule, target: bytes = b"/", is_forwarding: bool = False, **values: object) -> tuple[str, str, str, bytes]:
    """(why or "", the rule's name, the pool, the path that goes on)"""
    context = request_context(target, pool="own", **values)
    reply = RulesStage(rules, is_forwarding=is_forwarding).on_request(context)
    return "" if reply is None else reply.why.word, context.rule, context.pool, context.path


DENY = Rule(ANY, "deny")
ALLOW = Rule(ANY, "allow", name="friends")
ROUTE = Rule(ANY, "route", pool="v2")
REDIRECT = Rule(ANY, "redirect", redirect=Redirect(to="/new", status=302))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], ("", "", "own")),
        ([DENY], ("denied", "rules[0]", "own")),
        ([ALLOW], ("", "friends", "own")),
        ([ALLOW, DENY], ("", "friends", "own")),
        ([DENY, ALLOW], ("denied", "rules[0]", "own")),
        ([ROUTE], ("", "rules[0]", "v2")),
        ([ROUTE, Rule(ANY, "route", pool="v3")], ("", "rules[0]", "v2")),
        ([ROUTE, DENY], ("denied", "rules[1]", "v2")),  # no denial is passed by being routed
        ([ROUTE, ALLOW, DENY], ("", "rules[0]", "v2")),
        ([ALLOW, ROUTE], ("", "friends", "own")),
        ([REDIRECT, DENY], ("redirected", "rules[0]", "own")),
        ([ROUTE, REDIRECT], ("redirected", "rules[1]", "v2")),
        ([Rule(ANY, "redirect", redirect=Redirect(to="/")), DENY], ("denied", "rules[1]", "own")),  # it is there already
        ([DENY, Rule(ANY, "allow", priority=1)], ("", "rules[1]", "own")),
        ([Rule(under("/other"), "deny"), ROUTE], ("", "rules[1]", "v2")),
    ],
)
def test_actions_in_the_order_of_priority_and_file(rules, expected):
    assert judged(*rules)[:3] == expected


def test_replies():
    denial = RulesStage([Rule(ANY, "deny", status=404)]).on_request(request_context())
    assert denial is not None
    assert (denial.status, denial.why, denial.lines) == (404, Why.DENIED, b"")
    closed = RulesStage([Rule(ANY, "deny", status=503, retry_after_s=599.5)]).on_request(request_context())
    assert closed is not None
    assert (closed.status, closed.lines) == (503, b"Retry-After: 600\r\n")
    redirect = RulesStage([REDIRECT]).on_request(request_context())
    assert redirect is not None
    assert (redirect.status, redirect.why, redirect.lines) == (302, Why.REDIRECTED, b"Location: /new\r\n")


GUARD = (Rule(under("/admin"), "deny"),)
LEADING_PAST = [
    b"/%61dmin", b"//admin", b"/x/../admin", b"/admin%2f..", b"/x/%2e%2e/admin", b"/.//admin", b"/./admin", b"/x//../admin",
    b"/x/..;/admin", b"/x/..;a=b/admin", b"/;x/admin", b"/x%2f..%2fadmin", b"/%2fadmin", b"/\\admin", b"/%5cadmin",
    b"/%2561dmin", b"/x%252f..%252fadmin", b"/..%5cadmin", b"/%2e/%61%64%6d%69%6e", b"/;/admin", b"//;/%2561dmin",
]  # fmt: skip


@pytest.mark.parametrize(
    "target", [b"/admin", b"/admin/", b"/admin/x", b"/admin;x", b"/admin%00.jpg", b"/admin?x=/y", b"/admin\\x"]
)
def test_what_all_read_as_the_guarded_path_is_denied(target):
    assert judged(*GUARD, target=target)[0] == "denied"


@pytest.mark.parametrize("target", LEADING_PAST)
def test_what_some_read_as_the_guarded_path_goes_nowhere(target):
    assert judged(*GUARD, target=target)[0] == "ambiguous_path"
    assert judged(*GUARD, target=target, is_forwarding=True)[0] in ("ambiguous_path", "denied")


@pytest.mark.parametrize(
    "target", [b"/@scope%2fname", b"/page;jsessionid=1", b"/x//y", b"/x/../y", b"/my%20admin", b"/a\\b", b"*"]
)
def test_what_nobody_reads_as_the_guarded_path_goes_on_as_sent(target):
    assert judged(*GUARD, target=target) == ("", "", "own", target)
    assert judged(*GUARD, target=target, is_forwarding=True) == ("", "", "own", target)


@pytest.mark.parametrize("target", LEADING_PAST)
def test_rules_without_paths_refuse_no_path(target):
    assert judged(Rule(header("x-bad"), "deny"), target=target) == ("", "", "own", target)


def test_a_path_goes_on_normalized_where_that_settles_it():
    public = (Rule(under("/public"), "allow"), DENY)
    assert judged(*public, target=b"/x/../public/a")[0] == "ambiguous_path"
    assert judged(*public, target=b"/x/../public/a", is_forwarding=True) == ("", "rules[0]", "own", b"/public/a")
    assert judged(*public, target=b"/public/%2f..%2f../x", is_forwarding=True)[0] == "ambiguous_path"


def test_readings_must_agree_on_the_pool():
    assert judged(Rule(under("/v2"), "route", pool="v2"), target=b"//v2")[0] == "ambiguous_path"
    same = (Rule(under("/v2"), "route", pool="v2"), Rule(under("//v2"), "route", pool="v2"))
    assert judged(*same, target=b"//v2")[2] == "v2"


def test_readings_need_not_agree_on_which_rule_allows():
    rules = (Rule(under("/public"), "allow"), Rule(Condition("equals", "path", value="/nothing"), "deny"))
    assert judged(*rules, target=b"//public")[0] == ""


def test_a_path_with_too_many_readings_is_refused():
    assert judged(*GUARD, target=b"/a;b//../%2e/..%2f..%5c%252f\\x%3b%00")[0] == "ambiguous_path"


def test_only_routes_with_rules_have_the_stage():
    environment = StageEnvironment("web", HttpConfig(normalize="forward"), (), lambda: 0.0)
    assert rules_stage(RouteConfig("r"), environment) is None
    stage = rules_stage(RouteConfig("r", policy=TrafficPolicy(rules=GUARD)), environment)
    assert stage is not None
    context = request_context(b"//x/../y/%61")
    assert stage.on_request(context) is None
