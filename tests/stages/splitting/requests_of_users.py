"""Requests of users as the stages that choose a pool see them."""

from __future__ import annotations

import random

from balance.http1.head import RequestFields
from balance.stages.request_context import RequestContext


def request(*lines: str, client: str = "10.0.0.1", scheme: str = "http", pool: str = "", seed: int = 1) -> RequestContext:
    """A request with these field lines; `pool` is what the route or a rule has chosen before."""
    context = RequestContext()
    context.fields = RequestFields()
    context.fields.forward = context.forward = "".join(f"{line}\r\n" for line in lines).encode()
    context.fields, context.target = context.fields, b"/"
    context.client, context.scheme, context.pool = client, scheme, pool
    context.rand = random.Random(seed).random
    return context
