"""What the first stages of a route come to for every request with the same field lines, so that they are asked once.

A keep-alive client sends the same lines each time. Of a request the method and whether its peer is trusted count besides them;
what depends on more (the path, the client's address, the time, chance) is not settled, nor is what its stage counts or answers.
The stages from the first one that is not settled are asked each time.
"""

from __future__ import annotations

from balance.stages.request_context import RequestContext


class Settled:
    """Kept with the parsed lines, by the route (see notes)."""

    __slots__ = ("count", "forward", "host_to_backend", "is_trusted", "method", "per_try", "pool", "rule", "without_own")

    def __init__(self, context: RequestContext, count: int) -> None:
        """`context` is as the first `count` stages of its route left it."""
        self.method = context.method
        self.is_trusted = context.is_trusted
        self.count = count
        self.pool = context.pool
        self.rule = context.rule
        self.forward = context.forward
        self.host_to_backend = context.host_to_backend
        self.without_own = context.without_own
        self.per_try = context.per_try
