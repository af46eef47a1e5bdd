"""What the stages of a route know of one request, and what they have decided about it so far. Made where a route has any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from balance.http1.head import RequestFields
from balance.mypyc_attr import mypyc_attr
from balance.routing.request_view import RequestView
from balance.stages.notes import note
from balance.stages.security.authorization import Answer, Question
from balance.stages.security.client_fields import identified, without_spellings
from balance.stages.security.identity import Identity
from balance.transform.lines_per_try import LinesPerTry

if TYPE_CHECKING:
    from balance.stages.stage import Reply

_NONE: Final[frozenset[bytes]] = frozenset()


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestContext(RequestView):
    """One request in its stages. The first group is what came, the second is what stages may set."""

    # Slots, as loads of what is a default of the class are never specialized (CPython 3.11): each costs as much as four stores.
    __slots__ = (
        "backend",
        "client",
        "forward",
        "host",
        "host_sent",
        "host_to_backend",
        "identity",
        "method",
        "mirror",
        "now",
        "path",
        "per_try",
        "pool",
        "query",
        "rand",
        "region",
        "removed_prefix",
        "reply_lines",
        "request_id",
        "route",
        "rule",
        "scheme",
        "without_own",
    )  # fmt: skip

    rand: Callable[[], float]  # a number in [0, 1)

    def __init__(self) -> None:
        """Without what came, which whoever makes it sets: `fields`, `target`, `rand` and what of the first group is known."""
        self.begin()
        self.method = b""
        self.client = ""  # the client's address, as a trusted proxy names it, else the peer's; "" over a Unix socket
        self.is_trusted = False  # the peer is a trusted proxy: what only those may say is believed
        self.scheme = "http"
        self.host = ""  # normalized: lower case, no port, no final dot
        self.host_sent = b""  # as it came
        self.request_id = b""
        self.now = 0.0  # seconds, monotonic

    def begin(self) -> None:
        """Set what nobody has decided yet: what is set by the listener's router, then by stages."""
        self._parameters = None
        self.route = ""
        self.path = b""  # the path that goes to the backend, without the query
        self.query = b""  # with its `?`; b"" without one
        self.forward = b""  # the field lines that go to the backend, each with its CRLF
        self.pool = ""  # the pool that the request goes to
        self.rule = ""  # the rule that decided, for the access log: `rules[2]`, `canary`, `fault`
        self.region = ""  # the client's region; `unknown` where none is found
        self.identity: Identity | None = None  # who asks, once a stage has found out
        self.mirror = ""  # the pool that gets a copy of the request
        self.backend = ""  # its name once the reply is there; "" for our own replies
        self.reply_lines = b""  # lines to add to the reply, such as Set-Cookie
        # set by the transformation of requests, for whoever makes the head and for replies
        self.removed_prefix = b""  # the prefix that was stripped from the path; b"" for none
        self.host_to_backend = b""  # the Host that the backend gets; b"" for the client's
        self.without_own = _NONE  # lower-case names of the lines that we would add and must not
        self.per_try: LinesPerTry | None = None  # lines that name the backend, made for each try, before `forward`

    def identify(self, key: object, names: frozenset[bytes], added: bytes) -> None:
        """From here on the request has no fields of these folded names but the lines in `added`: who it is from.

        All that judges, chooses or forwards by fields sees the same. `key` is the stage that says so.
        """
        fields = self.fields
        notes = fields.notes
        known: RequestFields | None = None if notes is None else notes.get((key, added))
        if known is None:
            known = identified(fields, names, added)
            note(fields, (key, added), known)
        is_changed = self.forward is not fields.forward
        self.forward = without_spellings(self.forward, names) + added if is_changed else known.forward
        self.use_fields(known)

    def use_fields(self, fields: RequestFields) -> None:
        """From here on the request has these."""
        self.fields = fields

    def off_loop(self, job: Callable[[], object], done: Callable[[object], None]) -> bool:
        """Run a job that takes long, then done() with its result on the loop. False where too many wait already."""
        return False

    def ask(self, pool: str, question: Question, done: Callable[[Answer], None]) -> bool:
        """Ask a backend of that pool, then done() with the answer on the loop, unless the wait is over before. False where too
        many wait already.
        """
        return False

    def epoch(self) -> float:
        """The time of day, in seconds since the epoch."""
        return 0.0

    def wake(self, reply: Reply | None) -> None:
        """End a Wait: with this reply, or None to go on. No effect where nothing waits, as in a context by itself."""
