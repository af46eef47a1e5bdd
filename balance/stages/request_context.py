"""What the stages of a route know of one request, and what they have decided about it so far. Made where a route has any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from balance.routing.request_view import RequestView
from balance.transform.lines_per_try import LinesPerTry

if TYPE_CHECKING:
    from balance.stages.stage import Reply


class RequestContext(RequestView):
    """One request in its stages. The first group is what came, the second is what stages may set."""

    # No slots: what a class attribute has as its default costs a request nothing.
    method = b""
    client = ""  # the client's address, as a trusted proxy names it, else the peer's; "" over a Unix socket
    is_trusted = False  # the peer is a trusted proxy: what only those may say is believed
    scheme = "http"
    host = ""  # normalized: lower case, no port, no final dot
    host_sent = b""  # as it came
    request_id = b""
    now = 0.0  # seconds, monotonic
    rand: Callable[[], float]  # a number in [0, 1)
    # set by the listener's router, then by stages
    route = ""
    path = b""  # the path that goes to the backend, without the query
    query = b""  # with its `?`; b"" without one
    forward = b""  # the field lines that go to the backend, each with its CRLF
    pool = ""  # the pool that the request goes to
    rule = ""  # the rule that decided, for the access log: `rules[2]`, `canary`, `fault`
    region = ""  # the client's region; `unknown` where none is found
    mirror = ""  # the pool that gets a copy of the request
    backend = ""  # its name once the reply is there; "" for our own replies
    reply_lines = b""  # lines to add to the reply, such as Set-Cookie
    # set by the transformation of requests, for whoever makes the head and for replies
    removed_prefix = b""  # the prefix that was stripped from the path; b"" for none
    host_to_backend = b""  # the Host that the backend gets; b"" for the client's
    without_own: frozenset[bytes] = frozenset()  # lower-case names of the lines that we would add and must not
    per_try: LinesPerTry | None = None  # lines that name the backend, made for each try, before `forward`

    def __init__(self) -> None:
        """Without what came, which whoever makes it sets: `fields`, `target` and the first group."""

    def wake(self, reply: Reply | None) -> None:
        """End a Wait: with this reply, or None to go on."""
        raise NotImplementedError
