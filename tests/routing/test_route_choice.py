"""No reading of a path leads to a route that was not chosen."""

from __future__ import annotations

import pytest

from balance.config.route_model import RouteMatch
from balance.http1.head import RequestFields
from balance.routing.path_readings import path_readings
from balance.routing.request_view import RequestView
from balance.routing.route_choice import AMBIGUOUS, NO_MATCH, RouteChoice

ADMIN, REST = 0, 1
ROUTES = [RouteMatch(path_operator="prefix", path="/admin"), RouteMatch()]


def route(path: bytes, *, is_forwarding: bool = False, routes: list[RouteMatch] = ROUTES) -> tuple[int, bytes]:
    return RouteChoice(routes, is_forwarding=is_forwarding).choose(RequestView(RequestFields(), path), "h", b"GET", path)


@pytest.mark.parametrize(
    ("path", "index"),
    [
        (b"/admin", ADMIN),
        (b"/admin/x", ADMIN),
        (b"/administrator", REST),
        (b"/", REST),
        (b"*", REST),
        (b"/admin/%2e/x", ADMIN),
        (b"/admin;x/y", AMBIGUOUS),
        (b"/admin/page;jsessionid=1", ADMIN),
        (b"/page;jsessionid=1", REST),
        (b"/@scope%2fname", REST),
        (b"/my%20file//x", REST),
        (b"/%61dmin", AMBIGUOUS),
        (b"//admin", AMBIGUOUS),
        (b"/x/../admin", AMBIGUOUS),
        (b"/x/%2e%2e/admin", AMBIGUOUS),
        (b"/.//admin", AMBIGUOUS),
        (b"/admin%2f..", AMBIGUOUS),
        (b"/admin/../x", AMBIGUOUS),
        (b"/admin;x", AMBIGUOUS),
        (b"/x/..;/admin", AMBIGUOUS),
        (b"/x%2f..%2fadmin", AMBIGUOUS),
        (b"/x\\..\\admin", AMBIGUOUS),
        (b"/%2561dmin", AMBIGUOUS),
        (b"/admin%00.jpg", AMBIGUOUS),
        (b"/a;b//../%2e/..%2f..%5c%252f\\x%3b%00", AMBIGUOUS),
    ],
)
def test_readings_agree_or_the_path_is_ambiguous(path, index):
    assert route(path) == (index, path)


@pytest.mark.parametrize(
    ("path", "index", "sent"),
    [
        (b"/page;jsessionid=1", REST, b"/page;jsessionid=1"),
        (b"/x//y", REST, b"/x//y"),  # all agree: as sent
        (b"/%61dmin", ADMIN, b"/admin"),
        (b"//admin", ADMIN, b"/admin"),
        (b"/x/%2e%2e/admin/%2F", ADMIN, b"/admin/%2F"),
        (b"/admin/../x", REST, b"/x"),
        (b"/admin;x", AMBIGUOUS, b"/admin;x"),
        (b"/admin%2f..", AMBIGUOUS, b"/admin%2F.."),
        (b"/x/..;/admin", AMBIGUOUS, b"/x/..;/admin"),
    ],
)
def test_the_normalized_path_may_be_sent_instead(path, index, sent):
    assert route(path, is_forwarding=True) == (index, sent)


def test_without_conditions_on_paths_nothing_is_refused():
    routes = [RouteMatch(host="other"), RouteMatch()]
    assert route(b"/x/..;/%2e%2e//%00%2f\\", routes=routes) == (1, b"/x/..;/%2e%2e//%00%2f\\")


def test_no_route():
    assert route(b"/x", routes=ROUTES[:1]) == (NO_MATCH, b"/x")
    assert route(b"/%61dmin", routes=ROUTES[:1]) == (AMBIGUOUS, b"/%61dmin")
    assert route(b"/x;y", routes=ROUTES[:1]) == (NO_MATCH, b"/x;y")


def test_a_path_of_too_many_readings_takes_the_route_that_takes_all_paths_of_its_host():
    path = b"/a;b//../%2e/..%2f..%5c%252f\\x%3b%00" * 200
    assert path_readings(path) == ()
    routes = [*ROUTES, RouteMatch(host="other")]
    choice = RouteChoice(routes)
    assert route(path, routes=routes) == (AMBIGUOUS, path)
    assert choice.choose(RequestView(RequestFields(), path), "other", b"GET", path) == (2, path)
    assert RouteChoice([*routes, RouteMatch(host="other", path_operator="prefix", path="/x")]).choose(
        RequestView(RequestFields(), path), "other", b"GET", path
    ) == (AMBIGUOUS, path)
