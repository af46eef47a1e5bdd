"""Which requests of a route are copied to a mirror. The last stage: what the ones before it answer or refuse is not copied.

Copies of POST and others that may change something are opt-in: a mirror that shares a database with the primary would write
everything twice. A copy is not copied again, so that a mirror that leads back here ends; nor is the beginning of a tunnel. That
a request is a copy is believed from anybody: a client may keep its requests from the mirror, but a copy that nobody believed to
be one would go round for ever.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import Mirror, RouteConfig
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import Stage

MARK: Final = b"x-balance-mirror"  # what each copy has, in lower case
SAFE_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))  # RFC 9110 section 9.2.1


class Mirroring(Stage):
    """Chooses the requests that are copied."""

    __slots__ = ("_below", "_is_any", "_pool")

    def __init__(self, mirror: Mirror) -> None:
        self._pool = mirror.pool
        self._below = mirror.percent / 100
        self._is_any = mirror.unsafe_methods

    def on_request(self, context: RequestContext) -> None:
        if not (self._is_any or context.method in SAFE_METHODS) or context.fields.upgrade:
            return
        if (self._below >= 1 or context.rand() < self._below) and context.header(MARK) is None:
            context.mirror = self._pool


def mirror_stage(route: RouteConfig, environment: StageEnvironment) -> Mirroring | None:
    """None where nothing is mirrored."""
    mirror = route.policy.mirror
    return Mirroring(mirror) if mirror is not None and mirror.percent else None
