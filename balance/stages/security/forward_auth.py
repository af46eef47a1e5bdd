"""The stage of a route whose requests an authorizer judges, one by one: forwardAuth of Traefik, auth_request of nginx.

What the client says under the names that we or the authorizer vouch for never counts: not in the question, nor, whatever the
answer is, at the backend. Answers are not remembered: each is for one request.

The authorizer must not see another path than the backend does, so a path that the two may read differently is refused, or with
`normalize: forward` its normalized reading is judged and goes on (SPEC 4.2a).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from balance.config.route_model import RouteConfig
from balance.http1.fields import field_values, remove_named
from balance.http1.hash_key import source_key
from balance.model import Counted, Why
from balance.routing.path_readings import has_dot_segments, normalized_path, path_readings
from balance.security.forward_fields import CONDITIONAL, NEVER_PASSED, NOT_OF_DENIALS, SAID_BY_US
from balance.security.settings import ForwardAuth
from balance.stages.environment import Count, StageEnvironment, count_nothing
from balance.stages.request_context import RequestContext
from balance.stages.security.authorization import Answer, Question
from balance.stages.security.client_fields import folded, spellings, without_spellings
from balance.stages.stage import Reply, Stage, Wait

RULE: Final = "forward_auth"  # in the access log: what on_failure: allow has let through
_AMBIGUOUS: Final = Reply(400, Why.AMBIGUOUS_PATH, "the path can be read in more than one way, and an authorizer judges one")
_LATE: Final = Reply(503, Why.AUTH_UNAVAILABLE, "the authorizer does not answer in time")
_NEVER: Final = spellings(NEVER_PASSED | CONDITIONAL | SAID_BY_US)


class ForwardAuthStage(Stage):
    """The authorizer of one route."""

    __slots__ = ("_allows", "_asked", "_count", "_for_backend", "_for_client", "_host", "_is_forwarding", "_names", "_path",
                 "_pool", "_timeout_s")  # fmt: skip

    def __init__(self, settings: ForwardAuth, count: Count = count_nothing, *, is_forwarding: bool) -> None:
        """`is_forwarding`: of an ambiguous path the normalized reading goes on."""
        self._count = count
        self._pool = settings.pool
        self._path = settings.path.encode()
        self._host = settings.host
        self._timeout_s = settings.timeout_s
        self._allows = settings.on_failure == "allow"
        self._asked = spellings(settings.request_headers)
        self._for_backend = tuple((name.lower().encode(), name.encode() + b": ") for name in settings.response_headers)
        self._for_client = tuple((name.lower().encode(), name.encode() + b": ") for name in settings.client_headers)
        self._names = spellings(settings.response_headers)
        self._is_forwarding = is_forwarding

    def on_request(self, context: RequestContext) -> Reply | Wait | None:
        path = self._judged_path(context.path)
        if path is None:
            return _AMBIGUOUS
        context.path = path
        question = self._question(context)
        if self._names:
            context.identify(self, self._names, b"")
        rule = context.rule
        if self._allows:
            context.rule = RULE  # if the wait ends without an answer
        self._count(Counted.AUTH_ASKED, 1)
        if not context.ask(self._pool, question, partial(self._answered, context, rule)):
            return self._failed(context, "too many requests wait for the authorizer")
        return Wait(self._timeout_s, None if self._allows else _LATE)

    def _answered(self, context: RequestContext, rule: str, answer: Answer) -> None:
        context.rule = rule
        context.wake(self._decide(context, answer))

    def _judged_path(self, path: bytes) -> bytes | None:
        """The path that the authorizer judges and the backend gets; None where they may read it differently."""
        readings = path_readings(path)
        if len(readings) == 1:
            return path
        normalized = normalized_path(path)
        if not readings or any(has_dot_segments(reading) for reading in path_readings(normalized)):
            return None
        if normalized == readings[0]:  # in upper-case hex digits
            return path
        return normalized if self._is_forwarding else None

    def _question(self, context: RequestContext) -> Question:
        lines = without_spellings(context.fields.forward, _NEVER)
        if self._asked:
            lines = b"".join([line for line in lines.splitlines(True) if folded(line.partition(b":")[0]) in self._asked])
        uri, scheme, host = context.path + context.query, context.scheme.encode(), context.host_sent
        lines += (
            b"X-Forwarded-Method: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Uri: %b\r\n"
            b"X-Original-Method: %b\r\nX-Original-URL: %b://%b%b\r\n"
        ) % (context.method, scheme, host, uri, context.method, scheme, host, uri)
        if context.client:
            lines += b"X-Forwarded-For: %b\r\nX-Real-IP: %b\r\n" % (2 * (context.client.encode(),))
        if context.request_id and b"x-request-id" not in self._asked:
            lines = remove_named(lines, frozenset((b"x-request-id",))) + b"X-Request-Id: %b\r\n" % context.request_id
        own = b"" if self._host == "backend" else host if self._host == "preserve" else self._host.encode()
        return Question(self._path, own, lines, source_key(context.client), self._timeout_s)

    def _decide(self, context: RequestContext, answer: Answer) -> Reply | None:
        """What becomes of the request; None: it goes on."""
        status = answer.status
        if 200 <= status < 300:
            self._count(Counted.AUTH_ALLOWED, 1)
            added = _lines(answer.lines, self._for_backend)
            if added:
                context.use_fields(context.fields.with_lines(context.fields.forward + added))
                context.forward += added
            context.reply_lines += _lines(answer.lines, self._for_client)
            return None
        if not status or status == 304 or status >= 500:
            return self._failed(context, answer.detail or f"the authorizer answers {status}")
        self._count(Counted.AUTH_DENIED, 1)
        lines = remove_named(answer.lines, NOT_OF_DENIALS)
        return Reply(status, Why.UNAUTHORIZED, f"the authorizer answers {status}", lines, answer.body)

    def _failed(self, context: RequestContext, detail: str) -> Reply | None:
        self._count(Counted.AUTH_FAILED, 1)
        if self._allows:
            context.rule = RULE
            return None
        return Reply(503, Why.AUTH_UNAVAILABLE, detail)


def _lines(lines: bytes, names: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The fields of these names, under the names of the configuration."""
    return b"".join([prefix + value + b"\r\n" for name, prefix in names for value in field_values(lines, name)])


def forward_auth_stage(route: RouteConfig, environment: StageEnvironment) -> ForwardAuthStage | None:
    """None where nobody is asked."""
    settings = route.security.forward_auth
    if not settings.enabled:
        return None
    return ForwardAuthStage(settings, environment.count, is_forwarding=environment.http.normalize == "forward")
