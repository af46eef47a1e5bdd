"""The stage that changes requests on their way to the backend, and replies on their way back.

It judges last, once the pool is chosen, as what it makes is for the backend: rules and policies see the request as it came.
The changed path is judged again by the rules of routes that lead to the same pool, so that stripping a prefix leads past none
of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balance.config.route_model import RouteConfig
from balance.http1.fields import X_SSL_CLIENT
from balance.stages.environment import StageEnvironment
from balance.stages.notes import note
from balance.stages.request_context import RequestContext
from balance.stages.rules.final_path import FinalPathRules, final_path_rules
from balance.stages.stage import Reply, ReplyHead, Stage
from balance.transform.header_changes import HeaderChanges
from balance.transform.lines_per_try import LinesPerTry
from balance.transform.map_back import MapBack
from balance.transform.path_changes import PathChanges, forwarded_prefix

Judge = Callable[[RequestContext], Reply | None]

_SHARED: Final = "final path rules"
_PREFIX_NAME: Final = b"x-forwarded-prefix"
# Lines about the client that we add ourselves, after the client's own were taken out. What a user sets or removes is not added.
_OWN: Final = frozenset(
    (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip",
     b"x-request-id")
)  # fmt: skip
_OF_A_TRUSTED_PROXY: Final = b"x-forwarded-"  # these are added, too, where a trusted proxy sends them


class TransformStage(Stage):
    """The changes of one route."""

    __slots__ = ("_host", "_host_line", "_is_fixed", "_is_forward_changed", "_judge", "_paths", "_per_try", "_requests",
                 "_says_prefix", "_without_own", "_without_own_of_trusted")  # fmt: skip

    def __init__(self, route: RouteConfig, paths: PathChanges, judge: Judge | None) -> None:
        """ValueError for changes that cannot be."""
        transform = route.transform
        also_removed = set()
        if route.host != "preserve":
            also_removed.add(b"host")
        if paths.stripped:
            also_removed.add(_PREFIX_NAME)
        requests = HeaderChanges(transform.request_headers, is_request=True, also_removed=also_removed)
        named = requests.take_per_try()
        has_own_host = route.host == "backend"
        self._host = b"" if route.host in ("preserve", "backend") else route.host.encode("ascii")
        self._host_line = b"Host: " + self._host + b"\r\n" if self._host else b""
        self._per_try = LinesPerTry(named, has_host=has_own_host) if named is not None or has_own_host else None
        self._requests = requests
        self._is_forward_changed = bool(requests)
        self._is_fixed = requests.is_fixed
        self._without_own = frozenset(name for name in requests.removed if name in _OWN or name.startswith(X_SSL_CLIENT))
        self._without_own_of_trusted = self._without_own | {
            name for name in requests.removed if name.startswith(_OF_A_TRUSTED_PROXY)
        }
        self._paths = paths if paths else None
        # Ours, unless the user's own changes name the field
        self._says_prefix = bool(paths.stripped) and all(
            change.name.lower() != "x-forwarded-prefix" for change in transform.request_headers
        )
        self._judge = judge

    def on_request(self, context: RequestContext) -> Reply | None:
        """Change the request. A reply where the changed path is not allowed."""
        paths = self._paths
        if paths is not None and (not paths.only_strips or context.path.startswith(paths.stripped)):
            reply = self._change_path(context, paths)
            if reply is not None:
                return reply
        if self._is_forward_changed:
            fields, changed = context.fields, None
            if self._is_fixed and context.forward is fields.forward:
                prefix = context.removed_prefix
                key: object = (self, context.is_trusted, prefix) if context.is_trusted or prefix else self
                notes = fields.notes
                changed = None if notes is None else notes.get(key)
                if changed is None:
                    changed = self._changed(context)
                    note(fields, key, changed)
            else:
                changed = self._changed(context)
            context.forward = changed
            context.host_to_backend = self._host
            context.without_own = self._without_own_of_trusted if context.is_trusted else self._without_own
        context.per_try = self._per_try
        return None

    def is_settled(self, context: RequestContext) -> bool:
        """Whether the path and the client make no difference."""
        return self._paths is None and self._is_fixed

    def _change_path(self, context: RequestContext, paths: PathChanges) -> Reply | None:
        path, query = context.path, context.query
        if paths.strips(path):
            context.removed_prefix = paths.stripped
        context.path, context.query = paths.apply(path, query)
        is_changed = context.path != path or context.query != query
        return self._judge(context) if self._judge is not None and is_changed else None

    def _changed(self, context: RequestContext) -> bytes:
        """The field lines that go to the backend."""
        forward = context.forward
        changed = self._host_line + self._requests.apply(forward, context)
        if self._says_prefix:
            outer = context.header(_PREFIX_NAME) if context.is_trusted else None
            changed += forwarded_prefix(context.removed_prefix, outer or b"")
        return changed


class ReplyTransformStage(TransformStage):
    """With changes of replies, too."""

    __slots__ = ("_map_back", "_replies")

    def __init__(self, route: RouteConfig, paths: PathChanges, judge: Judge | None) -> None:
        TransformStage.__init__(self, route, paths, judge)  # super() costs mypyc more
        self._replies = HeaderChanges(route.transform.response_headers, is_request=False)
        has_prefix = bool(paths.stripped or paths.added)
        self._map_back = MapBack(paths.added) if route.transform.map_back and (has_prefix or route.host != "preserve") else None

    def on_reply(self, context: RequestContext, reply: ReplyHead) -> None:
        """Change the head of a reply: mapped back if it is a backend's, then the fields, also of our own replies."""
        if self._map_back is not None and not reply.is_own:
            reply.lines = self._map_back.apply(
                reply.lines, context.removed_prefix, context.scheme.encode(), context.host_sent, context.host_to_backend
            )
        reply.lines = self._replies.apply(reply.lines, context)

    def is_same_for_all(self, lines: bytes) -> bool:
        """Whether no value has a variable, and nothing is mapped back."""
        return self._replies.is_fixed and (self._map_back is None or not self._map_back.concerns(lines))


def transform_stage(route: RouteConfig, environment: StageEnvironment) -> TransformStage | None:
    """The stage of a route, if anything is changed there."""
    transform = route.transform
    paths = PathChanges(transform)
    judge = _final_judge(environment) if paths else None
    if transform.response_headers or transform.map_back:
        return ReplyTransformStage(route, paths, judge)
    if transform.request_headers or paths or route.host != "preserve":
        return TransformStage(route, paths, judge)
    return None


def _final_judge(environment: StageEnvironment) -> Judge | None:
    """Judges changed paths on this listener; made once for all its routes."""
    shared = environment.shared
    if _SHARED not in shared:
        shared[_SHARED] = final_path_rules(environment.routes, environment.regions)
    rules = shared[_SHARED]
    return rules.judge if isinstance(rules, FinalPathRules) else None
