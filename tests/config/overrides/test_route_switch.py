"""Switches of blue-green routes that are laid over a file."""

from __future__ import annotations

import pytest

from balance.config.loading import LoadedWithChanges, load_with_changes
from balance.config.overrides.difference import difference
from balance.config.overrides.route_switch import RouteSwitch
from balance.config.overrides.runtime_overrides import BackendChange, RuntimeChange, Verb
from balance.errors import ConfigError

POOLS = """\
pools:
  v1: {backends: [{name: a, address: "h:1"}]}
  v2: {backends: [{name: b, address: "h:2"}]}
"""
ROUTES = "{routes: [{name: shop, policy: {blue_green: {blue: v1, green: v2%s}}}]}"
AT_TOP = f"listeners: [{{name: web, listen: ':1'}}, {{name: tls, listen: ':2'}}]\nhttp: {ROUTES}\n{POOLS}"
OWN = f"listeners:\n- {{name: web, listen: ':1', http: {ROUTES}}}\n- {{name: tls, listen: ':2', http: {ROUTES}}}\n{POOLS}"
GREEN = RouteSwitch("", "shop", "green")


def text(form: str = AT_TOP, *more: str) -> str:
    return form % (more or ("",) * form.count("%s"))


def changed(of: str, *changes: RuntimeChange) -> LoadedWithChanges:
    return load_with_changes(of, "f.yaml", {}, changes)


def active(found: LoadedWithChanges) -> dict[str, str]:
    sides = {}
    for listener in found.loaded.config.listeners:
        (route,) = listener.http.routes
        assert route.policy.blue_green is not None
        sides[listener.name] = route.policy.blue_green.active
    return sides


@pytest.mark.parametrize(
    ("form", "switch", "expected", "listener"),
    [
        (AT_TOP, GREEN, {"web": "green", "tls": "green"}, ""),  # one list, for both
        (AT_TOP, RouteSwitch("web", "shop", "green"), {"web": "green", "tls": "green"}, ""),
        (OWN, RouteSwitch("web", "shop", "green"), {"web": "green", "tls": "blue"}, "web"),
        (OWN, RouteSwitch("tls", "shop", "green"), {"web": "blue", "tls": "green"}, "tls"),
    ],
)
def test_a_switch_holds_for_the_list_in_which_the_route_is(
    form: str, switch: RouteSwitch, expected: dict[str, str], listener: str
) -> None:
    found = changed(text(form), switch)
    assert active(found) == expected
    (kept,) = found.kept
    assert isinstance(kept, RouteSwitch)
    assert (kept.listener, kept.route, kept.active, kept.basis) == (listener, "shop", "green", '{"blue":"v1","green":"v2"}')
    again = changed(text(form), *found.kept)
    assert (again.kept, again.dropped, again.loaded.config) == (found.kept, (), found.loaded.config)


def test_the_difference_names_the_route_and_the_sides() -> None:
    before = changed(text()).loaded.config
    lines = difference(before, changed(text(), GREEN).loaded.config)
    assert lines == (
        "~ policy.blue_green of route web/shop: active blue -> green",
        "~ policy.blue_green of route tls/shop: active blue -> green",
    )


@pytest.mark.parametrize(
    ("form", "switch", "message"),
    [
        (AT_TOP, RouteSwitch("", "other", "green"), "there is no route 'other'"),
        (AT_TOP.replace("policy: {blue_green: {blue: v1, green: v2%s}}", "pool: v1%s"), GREEN,
         "route 'shop' has no policy blue_green"),
        (OWN, GREEN, "several listeners have a route 'shop'; say which: web, tls"),
        (OWN, RouteSwitch("nobody", "shop", "green"), "there is no route 'nobody/shop'"),
    ],
)  # fmt: skip
def test_what_cannot_be_switched_is_said(form: str, switch: RouteSwitch, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(text(form), switch)
    assert [str(problem) for problem in caught.value.problems] == [f"admin API: {message}"]


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (text(AT_TOP, ", header: x-side"), "the file says something new about it"),
        (text(AT_TOP, ", active: green"), "the file says something new about it"),
        (text().replace("name: shop", "name: store"), "there is no route 'shop'"),
        (text(OWN), "there is no route 'shop'"),
    ],
)
def test_it_ends_when_the_file_says_something_new(file: str, why: str) -> None:
    kept = changed(text(), GREEN).kept
    found = changed(file, *kept)
    assert found.kept == ()
    assert found.dropped == (f"the switch of route shop to green is dropped: {why}",)


@pytest.mark.parametrize("file", [text().replace("h:2", "h:3"), "# a comment\n" + text(), text().replace("':1'", "':7'")])
def test_it_stays_while_the_file_says_something_else(file: str) -> None:
    found = changed(file, *changed(text(), GREEN).kept)
    assert active(found) == {"web": "green", "tls": "green"}
    assert found.dropped == ()


def test_back_to_what_the_file_says_leaves_no_change() -> None:
    assert changed(text(), GREEN, RouteSwitch("", "shop", "blue")).kept == ()
    found = changed(text(AT_TOP, ", active: green"), RouteSwitch("", "shop", "blue"))
    assert active(found) == {"web": "blue", "tls": "blue"}
    assert len(found.kept) == 1


def test_backends_and_routes_change_side_by_side() -> None:
    found = changed(text(), GREEN, BackendChange(Verb.SET, "v1", "a", '{"weight": 3}'))
    assert active(found) == {"web": "green", "tls": "green"}
    assert found.loaded.config.pool("v1").backends[0].weight == 3
    assert len(found.kept) == 2


@pytest.mark.parametrize("http", ["[]", "{routes: 3}", "{routes: [3]}", "{routes: [{name: shop, policy: 3}]}", "3"])
def test_a_broken_file_is_reported_as_such(http: str) -> None:
    with pytest.raises(ConfigError):
        changed(f"listen: ':1'\nhttp: {http}\n{POOLS}", GREEN)
