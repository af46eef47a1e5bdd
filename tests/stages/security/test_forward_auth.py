"""What an authorizer is asked, and what becomes of the request, without a connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from contexts import request_context

from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.security.settings import ForwardAuth, RouteSecurity
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.security.authorization import Answer, Question
from balance.stages.security.forward_auth import ForwardAuthStage, forward_auth_stage
from balance.stages.stage import Reply, Wait

GOOD = Answer(200, b"Remote-User: ada\r\nRemote-Groups: a\r\nremote-groups: b\r\nSet-Cookie: s=1\r\nX-Other: 1\r\n")


class Asked(RequestContext):
    __slots__ = ("done", "has_room", "question", "said")

    def ask(self, pool: str, question: Question, done: Callable[[Answer], None]) -> bool:
        assert pool == "auth"
        self.question, self.done = question, done
        return self.has_room

    def wake(self, reply: Reply | None) -> None:
        self.said = reply


def stage_of(*, normalize: str = "reject", **keys: object) -> ForwardAuthStage:
    settings = ForwardAuth(**({"enabled": True, "pool": "auth"} | keys))  # type: ignore[arg-type]
    environment = StageEnvironment("main", HttpConfig(normalize=normalize), (), lambda: 0.0)
    stage = forward_auth_stage(RouteConfig("r", security=RouteSecurity(forward_auth=settings)), environment)
    assert stage is not None
    return stage


def context(*lines: bytes, target: bytes = b"/a?b=c", **values: object) -> Asked:
    usual = request_context(target, b"".join(line + b"\r\n" for line in lines))
    made = Asked()
    for name in ("fields", "forward", "target", "method", "client", "host", "host_sent", "request_id", "path", "query"):
        setattr(made, name, getattr(usual, name))
    made.has_room = True
    for name, value in values.items():
        setattr(made, name, value)
    return made


def decided(stage: ForwardAuthStage, asked: Asked, answer: Answer) -> Reply | None:
    assert isinstance(stage.on_request(asked), Wait)
    asked.done(answer)
    return asked.said


def test_a_route_without_it_has_no_stage() -> None:
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0)
    assert forward_auth_stage(RouteConfig("r"), environment) is None


def test_what_it_is_asked() -> None:
    asked = context(b"Accept: text/html", b"Cookie: s=1", method=b"POST", scheme="https")
    wait = stage_of(path="/verify?x=1", timeout_s=2.0).on_request(asked)
    assert isinstance(wait, Wait)
    assert wait.timeout_s == 2.0
    question = asked.question
    assert (question.path, question.host, question.timeout_s) == (b"/verify?x=1", b"", 2.0)
    assert question.lines.decode().split("\r\n") == [
        "Accept: text/html", "Cookie: s=1", "X-Forwarded-Method: POST", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.example", "X-Forwarded-Uri: /a?b=c", "X-Original-Method: POST",
        "X-Original-URL: https://shop.example/a?b=c", "X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1",
        "X-Request-Id: r1", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"X-Forwarded-Uri: /public", b"X-Forwarded-Method: GET", b"x_forwarded_uri: /public", b"X.Forwarded.Host: a",
        b"X-Forwarded-Prefix: /x", b"X-Original-URL: http://a/", b"X-Original-URI: /", b"X-Rewrite-Url: /", b"X-Real-Ip: ::1",
        b"X-HTTP-Method-Override: GET", b"Forwarded: for=a", b"Expect: 100-continue", b"Content-Length: 5",
        b"Upgrade: websocket",
        b"Transfer-Encoding: chunked", b"Connection: x", b"TE: trailers", b"Range: bytes=0-1", b'If-None-Match: "a"',
        b"If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT",
    ],
)  # fmt: skip
def test_what_a_client_says_beside_never_reaches_it(line: bytes) -> None:
    plain, other = context(b"Accept: */*"), context(b"Accept: */*", line)
    for asked in (plain, other):
        stage_of().on_request(asked)
    assert plain.question.lines == other.question.lines


@pytest.mark.parametrize(("host", "got"), [("backend", b""), ("preserve", b"shop.example"), ("auth.example", b"auth.example")])
def test_its_host(host: str, got: bytes) -> None:
    asked = context()
    stage_of(host=host).on_request(asked)
    assert asked.question.host == got


def test_it_gets_the_fields_that_are_listed() -> None:
    asked = context(b"Accept: a", b"COOKIE: s=1", b"Authorization: Bearer x")
    stage_of(request_headers=("Cookie",)).on_request(asked)
    assert asked.question.lines.startswith(b"COOKIE: s=1\r\nX-Forwarded-Method: GET\r\n")


@pytest.mark.parametrize("name", [b"Remote-User", b"remote_user", b"REMOTE.USER"])
@pytest.mark.parametrize("answer", [GOOD, Answer(200), Answer(204), Answer(0, detail="down")], ids=range(4))
def test_the_clients_own_are_removed_whatever_it_says(name: bytes, answer: Answer) -> None:
    asked = context(name + b": root", b"Accept: a")
    stage = stage_of(response_headers=("Remote-User", "Remote-Groups"), on_failure="allow")
    assert decided(stage, asked, answer) is None
    assert asked.headers(b"remote-user") == ([b"ada"] if answer is GOOD else [])
    assert b"root" not in asked.forward and b"root" not in asked.fields.forward
    expected = (
        b"Accept: a\r\nRemote-User: ada\r\nRemote-Groups: a\r\nRemote-Groups: b\r\n" if answer is GOOD else b"Accept: a\r\n"
    )
    assert asked.forward == expected


def test_a_field_may_be_exchanged_for_another() -> None:
    asked = context(b"Authorization: Bearer opaque")
    stage = stage_of(response_headers=("Authorization",))
    assert decided(stage, asked, Answer(200, b"authorization: Bearer jwt\r\n")) is None
    assert b"Bearer opaque" in asked.question.lines
    assert asked.forward == b"Authorization: Bearer jwt\r\n"


def test_the_client_gets_what_is_listed() -> None:
    asked = context()
    assert decided(stage_of(client_headers=("Set-Cookie",)), asked, GOOD) is None
    assert asked.reply_lines == b"Set-Cookie: s=1\r\n"
    other = context()
    assert decided(stage_of(), other, GOOD) is None
    assert other.reply_lines == b""


@pytest.mark.parametrize("status", [302, 401, 403, 404, 429])
def test_a_denial_is_the_clients(status: int) -> None:
    lines = b"Location: /login\r\nSet-Cookie: a=1\r\n"
    ours = b"Date: x\r\nContent-Length: 5\r\nConnection: Upgrade\r\nX-Request-Id: theirs\r\n"
    reply = decided(stage_of(on_failure="allow"), context(), Answer(status, lines + ours, b"login"))
    assert reply is not None
    assert (reply.status, reply.why, reply.body) == (status, Why.UNAUTHORIZED, b"login")
    assert reply.lines == lines


@pytest.mark.parametrize("answer", [Answer(0, detail="down"), Answer(500), Answer(503), Answer(304)], ids=range(4))
def test_what_is_no_answer(answer: Answer) -> None:
    reply = decided(stage_of(), context(), answer)
    assert reply is not None
    assert (reply.status, reply.why) == (503, Why.AUTH_UNAVAILABLE)
    asked = context(rule="before")
    assert decided(stage_of(on_failure="allow"), asked, answer) is None
    assert asked.rule == "forward_auth"
    assert decided(stage_of(on_failure="allow"), good := context(rule="before"), GOOD) is None
    assert good.rule == "before"


def test_no_answer_in_time_and_no_room() -> None:
    wait = stage_of().on_request(context())
    assert isinstance(wait, Wait)
    assert wait.at_timeout is not None
    assert (wait.at_timeout.status, wait.at_timeout.why) == (503, Why.AUTH_UNAVAILABLE)
    late = context()
    allowed = stage_of(on_failure="allow").on_request(late)
    assert isinstance(allowed, Wait)
    assert (allowed.at_timeout, late.rule) == (None, "forward_auth")
    full = stage_of().on_request(context(has_room=False))
    assert isinstance(full, Reply) and full.status == 503
    assert stage_of(on_failure="allow").on_request(context(has_room=False)) is None


@pytest.mark.parametrize(
    ("path", "rejecting", "forwarding"),
    [
        (b"/a", b"/a", b"/a"), (b"/caf%c3%a9/%20x", b"/caf%c3%a9/%20x", b"/caf%c3%a9/%20x"),
        (b"/a;v=1/b", b"/a;v=1/b", b"/a;v=1/b"),
        (b"/%61dmin", None, b"/admin"), (b"//admin", None, b"/admin"), (b"/public/../admin", None, b"/admin"),
        (b"/public/%2e%2e/admin", None, b"/admin"), (b"/public/..%2fadmin", None, None), (b"/public/..;/admin", None, None),
        (b"/public/..%5cadmin", None, None), (b"/public/%252e%252e/admin", None, None), (b"/public/.%2e;x/admin", None, None),
    ],
    ids=range(12),
)  # fmt: skip
def test_it_judges_the_path_that_the_backend_gets(path: bytes, rejecting: bytes | None, forwarding: bytes | None) -> None:
    for normalize, expected in (("reject", rejecting), ("forward", forwarding)):
        asked = context(target=path + b"?q=/../x")
        answer = stage_of(normalize=normalize).on_request(asked)
        if expected is None:
            assert isinstance(answer, Reply)
            assert (answer.status, answer.why) == (400, Why.AMBIGUOUS_PATH)
        else:
            assert isinstance(answer, Wait)
            assert asked.path == expected
            assert b"X-Forwarded-Uri: " + expected + b"?q=/../x\r\n" in asked.question.lines


def test_questions_and_what_came_of_them_are_counted() -> None:
    found: list[str] = []
    settings = ForwardAuth(enabled=True, pool="auth")
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0, count=lambda what, number: found.append(what.name))
    stage = forward_auth_stage(RouteConfig("r", security=RouteSecurity(forward_auth=settings)), environment)
    assert stage is not None
    for answer in (GOOD, Answer(403, b""), Answer(500, b""), Answer(0, b"")):
        decided(stage, context(), answer)
    stage.on_request(context(has_room=False))
    outcomes = ("AUTH_ALLOWED", "AUTH_DENIED", "AUTH_FAILED", "AUTH_FAILED", "AUTH_FAILED")
    assert found == [each for outcome in outcomes for each in ("AUTH_ASKED", outcome)]
