"""What a session tells its shell. A shell derives from it and overrides all that its role can meet."""

from __future__ import annotations

from balance.http2.request_head import RequestHead
from balance.http2.response_head import ResponseHead
from balance.http2.stream import Stream
from balance.mypyc_attr import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class SessionHandler:
    """Calls come within Session.feed, in the order of the frames. Whoever serves a stream says Session.release at its end."""

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        """A request has come whole, but for its content. As a server."""

    def on_too_large(self, stream: Stream, *, ends: bool) -> None:
        """A request whose head passes the bounds; it is answered 431. As a server."""

    def on_malformed(self, detail: str) -> None:
        """A request that can't be read was reset: nobody serves it. As a server."""

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        """A response, or an interim one, has come. As a client."""

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        """Content of a message; Session.taken says when it has gone on. Empty only where it ends the message."""

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        """The message ends with these fields, as HTTP/1.1 lines."""

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        """A stream has ended early: the peer's reset, or ours because it was wrong."""

    def on_unprocessed(self, stream: Stream) -> None:
        """The peer goes, and has not seen this request: it may be sent elsewhere, whatever its method. As a client."""

    def on_going_away(self, code: int, detail: str) -> None:
        """The peer takes no new streams."""

    def on_settings(self) -> None:
        """The peer's settings have come, or changed."""

    def on_many_offences(self, what: str) -> None:
        """There are so many that the connection should end by itself, by Session.leave."""

    def on_fault(self, code: int, detail: str) -> None:
        """The connection has ended: what is in `out` is the last that is sent."""
