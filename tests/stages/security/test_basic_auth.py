"""Who gets in by user and password, what it costs, and what is bounded."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from contexts import request_context

from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.security.password_hash import PasswordHash
from balance.security.settings import BasicAuth, RouteSecurity
from balance.stages.request_context import RequestContext
from balance.stages.security import basic_auth
from balance.stages.security.basic_auth import MAX_OF_ONE_ADDRESS, BasicAuthStage, basic_auth_stage
from balance.stages.stage import Reply, Wait


def hashed(password: str) -> str:
    return "scrypt:16:8:1$c2FsdA$" + hashlib.scrypt(password.encode(), salt=b"c2FsdA", n=16, r=8, p=1, dklen=32).hex()


class Asked(RequestContext):
    """A request whose jobs run when the test says so."""

    __slots__ = ("jobs", "woken")

    def off_loop(self, job: Callable[[], object], done: Callable[[object], None]) -> bool:
        if len(self.jobs) >= 34:
            return False
        self.jobs.append((job, done))
        return True

    def wake(self, reply: Reply | None) -> None:
        self.woken.append(reply)


class Guard:
    def __init__(self, **keys: object) -> None:
        given = {"enabled": True, "users": (("ada", hashed("lovelace")), ("b\u00f6b", hashed("x")))} | keys
        stage = basic_auth_stage(RouteConfig("r", security=RouteSecurity(basic_auth=BasicAuth(**given))), None)  # type: ignore[arg-type]
        assert stage is not None
        self.stage: BasicAuthStage = stage
        self.jobs: list[tuple[Callable[[], object], Callable[[object], None]]] = []

    def context(self, user: str = "ada", password: str = "lovelace", lines: str = "", **values: object) -> Asked:
        field = base64.b64encode(f"{user}:{password}".encode()).decode()
        usual = request_context(forward=f"Host: a\r\n{lines}Authorization: Basic {field}\r\n".encode(), **values)
        context = Asked()
        for name in ("fields", "target", "client", "forward", "now", "method"):
            setattr(context, name, getattr(usual, name))
        context.jobs, context.woken = self.jobs, []
        return context

    def finish(self) -> None:
        jobs, self.jobs[:] = list(self.jobs), []
        for job, done in jobs:
            done(job())

    def ask(self, user: str = "ada", password: str = "lovelace", **more: object) -> tuple[object, Asked]:
        context = self.context(user, password, **more)  # type: ignore[arg-type]
        answer = self.stage.on_request(context)
        if type(answer) is Wait:
            self.finish()
            (answer,) = context.woken
        return answer, context


def test_a_route_without_it_has_no_stage() -> None:
    assert basic_auth_stage(RouteConfig("r"), None) is None
    settings = BasicAuth(enabled=True, users=(("u", hashed("x")),))
    assert basic_auth_stage(RouteConfig("r", security=RouteSecurity(basic_auth=settings)), None) is not None


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("ada", "lovelace", True),
        ("b\u00f6b", "x", True),
        ("ada", "x", False),
        ("Ada", "lovelace", False),
        ("ada", "lovelace ", False),
        ("nobody", "lovelace", False),
        ("ada", "", False),
    ],
)
def test_who_gets_in(user: str, password: str, expected: bool) -> None:
    answer, context = Guard().ask(user, password)
    if expected:
        assert answer is None
    else:
        assert isinstance(answer, Reply)
        assert (answer.status, answer.why) == (401, Why.UNAUTHORIZED)
        assert context.reply_lines.startswith(b"WWW-Authenticate: Basic ")


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "Authorization: Basic !\r\n",
        "Authorization: Bearer x\r\n",
        "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n",
    ],
)
def test_what_is_no_password_costs_no_hash(lines: str) -> None:
    guard = Guard()
    context = guard.context()
    context.fields = request_context(forward=lines.encode()).fields
    answer = guard.stage.on_request(context)
    assert isinstance(answer, Reply)
    assert (answer.status, guard.jobs) == (401, [])


@pytest.mark.parametrize(("realm", "expected"), [("ops", b'"ops"'), ('a"b\\c', b'"a\\"b\\\\c"')])
def test_the_challenge_names_the_realm(realm: str, expected: bytes) -> None:
    _, context = Guard(realm=realm).ask(password="wrong")
    assert context.reply_lines == b"WWW-Authenticate: Basic realm=" + expected + b', charset="UTF-8"\r\n'


@pytest.mark.parametrize("name", ["X-User", "x-user", "X_USER", "x.user"])
def test_the_name_goes_to_a_field_that_nobody_can_forge(name: str) -> None:
    for user, password in (("ada", "lovelace"), ("b\u00f6b", "x")):
        answer, context = Guard(user_header="X-User").ask(user, password, lines=f"{name}: root\r\n")
        assert answer is None
        assert b"root" not in context.forward
        assert context.headers(b"x-user") == [user.encode()]


def test_the_password_goes_on_or_not() -> None:
    for forwards in (True, False):
        _, context = Guard(forward=forwards).ask(lines="authorization_x: 1\r\n")
        assert (b"\r\nAuthorization: " in context.forward) is forwards
        assert b"authorization_x: 1" in context.forward


def test_what_was_right_is_remembered_for_a_while() -> None:
    guard = Guard(remember_s=60.0)
    assert guard.ask(now=100.0)[0] is None
    context = guard.context(now=159.0)
    assert guard.stage.on_request(context) is None
    assert type(guard.stage.on_request(guard.context(now=160.0))) is Wait
    guard.finish()
    assert type(guard.stage.on_request(guard.context(password="wrong", now=161.0))) is Wait
    forgetful = Guard(remember_s=0.0)
    assert forgetful.ask()[0] is None
    assert type(forgetful.stage.on_request(forgetful.context())) is Wait


def test_what_was_wrong_is_not_remembered() -> None:
    guard = Guard()
    for _ in range(2):
        assert isinstance(guard.ask(password="wrong")[0], Reply)


def test_an_unknown_user_costs_the_costliest_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    costly = hashed("y").replace(":16:", ":32:")
    guard = Guard(users=(("ada", hashed("lovelace")), ("eve", costly)))
    verified: list[float] = []
    monkeypatch.setattr(PasswordHash, "verify", lambda self, password: verified.append(self.cost) or True)
    answer, _ = guard.ask("nobody", "y")
    assert isinstance(answer, Reply)  # although the hash said yes
    guard.ask("eve", "y")
    assert verified[0] == verified[1] == PasswordHash(costly).cost


def test_one_password_of_many_requests_is_verified_once() -> None:
    guard = Guard(user_header="X-User")
    contexts = [guard.context() for _ in range(100)]
    assert {type(guard.stage.on_request(each)) for each in contexts} == {Wait}
    assert len(guard.jobs) == 1
    guard.finish()
    assert all(each.woken == [None] and each.headers(b"x-user") == [b"ada"] for each in contexts)


def test_guesses_of_one_address_are_bounded_and_hold_up_nobody_else() -> None:
    guard = Guard()
    assert guard.ask()[0] is None
    answers = [guard.stage.on_request(guard.context(password=f"{n}", client=f"2001:db8::{n:x}")) for n in range(1000)]
    refused = [each for each in answers if isinstance(each, Reply)]
    assert len(answers) - len(refused) == len(guard.jobs) == MAX_OF_ONE_ADDRESS
    assert {(each.status, each.why) for each in refused} == {(503, Why.AUTH_UNAVAILABLE)}
    assert guard.stage.on_request(guard.context()) is None  # who is remembered
    assert type(guard.stage.on_request(guard.context("b\u00f6b", "x", client="192.0.2.9"))) is Wait
    guard.finish()
    assert not guard.stage._by_address and not guard.stage._under_way
    assert type(guard.stage.on_request(guard.context(password="again", client="2001:db8::1"))) is Wait


def test_more_than_the_threads_take_is_503_and_leaves_nothing() -> None:
    guard = Guard()
    answers = [guard.stage.on_request(guard.context(password="x", user=f"u{n}", client=f"10.0.{n}.1")) for n in range(40)]
    assert sum(isinstance(each, Reply) for each in answers) == 6
    guard.finish()
    assert not guard.stage._by_address and not guard.stage._under_way
    assert basic_auth.MAX_REMEMBERED == 4096
