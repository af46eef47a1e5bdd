"""What a stage is: one traffic rule, applied to each request of a route, and what it may answer.

A stage decides without I/O and without a task. One that has to wait says until when, and is woken by whoever does its I/O.
"""

from __future__ import annotations

from typing import Protocol

from balance.http1.framing import NO_BODY, Framing
from balance.model import Why
from balance.mypyc_attr import mypyc_attr
from balance.stages.request_context import RequestContext
from balance.stages.tally import Tally


class Reply:
    """Ends the request now with a reply of our own."""

    __slots__ = ("body", "detail", "lines", "status", "why")

    def __init__(self, status: int, why: Why, detail: str = "", lines: bytes = b"", body: bytes | None = None) -> None:
        """`lines` are field lines, each with its CRLF. Without a `body` it is the error page of that status, with `detail`.

        A body's Content-Length and Date are added by whoever writes it; Content-Type is among the `lines`.
        """
        self.status = status
        self.why = why
        self.detail = detail
        self.lines = lines
        self.body = body


class Wait:
    """The request waits: until context.wake() is called, or for `timeout_s` seconds; then `at_timeout` is the answer.

    `at_timeout` None: the request goes on with the next stage.
    """

    __slots__ = ("at_timeout", "timeout_s")

    def __init__(self, timeout_s: float, at_timeout: Reply | None = None) -> None:
        self.timeout_s = timeout_s
        self.at_timeout = at_timeout


class Encoder(Protocol):
    """Changes the content of a reply on its way to the client."""

    def encode(self, data: bytes) -> bytes:
        """The encoded bytes that are ready; b"" when the encoder keeps them all for now."""
        ...

    def flush(self) -> bytes:
        """What is kept, as the backend pauses."""
        ...

    def finish(self) -> bytes:
        """The last bytes."""
        ...

    def close(self) -> None:
        """The reply has ended, complete or not: free what is held. Called once."""
        ...


class ReplyHead:
    """The head of a reply, from a backend or our own (then `is_own`), as reply sides of stages may change it.

    `lines` are the status line and the field lines, each with its CRLF, without Connection and Transfer-Encoding. A stage that
    sets `encoder` takes Content-Length out of the lines; the body goes on in chunks.
    """

    __slots__ = ("encoder", "framing", "is_own", "length", "lines", "status")

    def __init__(self, status: int, lines: bytes, framing: Framing = NO_BODY, length: int = 0, *, is_own: bool = False) -> None:
        self.status = status
        self.lines = lines
        self.framing = framing
        self.length = length
        self.is_own = is_own
        self.encoder: Encoder | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Stage:
    """One traffic rule of one route. Subclasses have one or both sides; made once for each configuration and worker."""

    __slots__ = ()

    def on_request(self, context: RequestContext) -> Reply | Wait | None:
        """Judge or change a request before a backend is chosen; None: go on."""
        return None

    def is_settled(self, context: RequestContext) -> bool:
        """Whether on_request, which has just let this request go on, would do the same to all with its lines, method and trust.

        It may have set the pool, rule and forwarded lines, Host and lines per try then, and nothing else.
        """
        return False

    def tally(self, context: RequestContext) -> Tally | None:
        """What is asked of each request with the lines, method and trust of this one in place of on_request, which else does
        the same to all of them.
        """
        return None

    def on_reply(self, context: RequestContext, reply: ReplyHead) -> None:
        """Change the head of a reply in place; also those of our own error pages, redirects and fixed responses."""

    def is_same_for_all(self, lines: bytes) -> bool:
        """Whether on_reply changes backends' replies with these lines alike, whatever the request: once is enough then."""
        return False
