"""The stage of a route that redirects."""

import pytest
from contexts import request_context

from balance.config.model import HttpConfig
from balance.config.route_model import Redirect, RouteConfig, RouteMatch
from balance.model import Why
from balance.security.settings import BasicAuth, RouteSecurity
from balance.stages import build_stages
from balance.stages.environment import StageEnvironment
from balance.stages.redirect import RedirectStage, redirect_stage, upgrade_stage

HTTPS = Redirect(scheme="https")


def test_route_without_a_redirect_has_no_stage() -> None:
    assert redirect_stage(RouteConfig("r"), None) is None
    assert upgrade_stage(RouteConfig("r"), None) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_has_its_status_and_no_body(status: int) -> None:
    stage = upgrade_stage(RouteConfig("r", redirect=Redirect(scheme="https", status=status)), None)
    assert stage is not None
    reply = stage.on_request(request_context(b"/x?y=1"))
    assert reply is not None
    assert (reply.status, reply.why, reply.lines, reply.body) == (
        status, Why.REDIRECTED, b"Location: https://shop.example/x?y=1\r\n", b""
    )  # fmt: skip


def test_permanent_and_with_the_method_unless_told_otherwise() -> None:
    stage = upgrade_stage(RouteConfig("r", redirect=HTTPS), None)
    assert stage is not None
    reply = stage.on_request(request_context(method=b"POST"))
    assert reply is not None
    assert reply.status == 308


def test_request_that_is_already_there_goes_on_to_the_routes_pool() -> None:
    stage = upgrade_stage(RouteConfig("r", redirect=HTTPS, pool="app"), None)
    assert stage is not None
    assert stage.on_request(request_context(scheme="https")) is None
    assert stage.on_request(request_context(scheme="http")) is not None


def test_request_that_is_already_there_is_never_sent_in_a_circle() -> None:
    stage = upgrade_stage(RouteConfig("r", redirect=HTTPS), None)
    assert stage is not None
    reply = stage.on_request(request_context(scheme="https"))
    assert reply is not None
    assert (reply.status, reply.why) == (404, Why.NO_ROUTE)


def test_request_without_a_host_cannot_be_sent_to_another_scheme() -> None:
    stage = upgrade_stage(RouteConfig("r", redirect=HTTPS), None)
    assert stage is not None
    reply = stage.on_request(request_context(host_sent=b"", host=""))
    assert reply is not None
    assert reply.status == 400


def test_groups_are_those_of_the_routes_path() -> None:
    match = RouteMatch(path_operator="regex", path="^/old/(.*)$")
    stage = redirect_stage(RouteConfig("r", match=match, redirect=Redirect(to="/new/$1", status=301)), None)
    assert stage is not None
    reply = stage.on_request(request_context(b"/old/a%2Fb?x=1"))
    assert reply is not None
    assert reply.lines == b"Location: /new/a%2Fb?x=1\r\n"


def test_who_is_sent_to_https_is_not_asked_for_a_password_in_plain_text() -> None:
    """Every redirect has one stage; others come after who asks."""
    asks = RouteSecurity(basic_auth=BasicAuth(enabled=True, users=(("u", "scrypt:16:8:1$c2FsdA$" + "00" * 32),)))
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0)
    for redirect, comes_first in (
        (HTTPS, True),
        (Redirect(scheme="https", host="b.example"), False),
        (Redirect(path="/x"), False),
    ):
        stages = build_stages(RouteConfig("r", redirect=redirect, security=asks), environment)
        assert [type(stage) is RedirectStage for stage in stages] == [comes_first, not comes_first]


@pytest.mark.parametrize(
    ("host", "port", "location"),
    [
        (b"shop.example", 8443, b"https://shop.example:8443/x?y=1"),
        (b"shop.example:8080", 8443, b"https://shop.example:8443/x?y=1"),
        (b"shop.example:8080", 443, b"https://shop.example/x?y=1"),
        (b"[::1]:8080", 8443, b"https://[::1]:8443/x?y=1"),
        (b"10.0.0.1", 0, b"https://10.0.0.1/x?y=1"),
    ],
)
def test_the_port_is_that_of_https(host: bytes, port: int, location: bytes) -> None:
    stage = upgrade_stage(RouteConfig("r", redirect=Redirect(scheme="https", port=port), pool="app"), None)
    assert stage is not None
    reply = stage.on_request(request_context(b"/x?y=1", host_sent=host))
    assert reply is not None
    assert reply.lines == b"Location: %b\r\n" % location
    # Behind a proxy with TLS and a port of its own nobody is sent round.
    assert stage.on_request(request_context(b"/x?y=1", host_sent=host, scheme="https")) is None
