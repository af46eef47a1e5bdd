"""What a head says, as the rest of the program reads it: requests and replies, parsed once and never changed."""

from __future__ import annotations

from balance.http1.framing import NO_BODY


class RequestFields:
    """What the field lines of a request say. Shared by all requests that bring the same lines."""

    __slots__ = ("connection", "expects", "forward", "forwarding", "found", "framing", "host", "length", "max_forwards",
                 "request_id", "ties", "upgrade")  # fmt: skip

    def __init__(self) -> None:
        self.host: bytes | None = None
        self.framing = NO_BODY
        self.length = 0
        self.connection: frozenset[bytes] = frozenset()  # the options of Connection, lower case
        self.upgrade = b""  # what the client offers to upgrade to, if that may be passed on
        self.expects = False  # 100-continue
        self.ties = False  # it authenticates the connection that it is sent on, for this client
        self.request_id = b""
        self.max_forwards = b""
        self.forwarding: tuple[tuple[bytes, bytes], ...] = ()  # (lower-case name, value) of X-Forwarded-* and the like
        self.forward = b""  # the lines that are passed on, each with its CRLF
        self.found: dict[object, bytes] | None = None  # what was searched for in the lines, by who did (see hashkey)


class Request:
    """One request's head. `line` is the request line to send on, with its CRLF."""

    __slots__ = ("ends_here", "fields", "is_rare", "keep_alive", "line", "method", "minor", "target")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        minor: int,
        line: bytes,
        fields: RequestFields,
        keep_alive: bool,
        ends_here: bool = False,
        is_rare: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.line = line
        self.fields = fields
        self.keep_alive = keep_alive
        self.ends_here = ends_here  # Max-Forwards says that we are the last to see it
        self.is_rare = is_rare  # that, or its fields tie


class Response:
    """One reply's head, as if it answered a GET. `forward` is its status line and the field lines that are passed on."""

    __slots__ = ("forward", "framing", "has_request_id", "idle_timeout_s", "is_rare", "keep_alive", "length", "status",
                 "ties", "upgrade")  # fmt: skip

    def __init__(self, status: int) -> None:
        self.status = status
        self.framing = NO_BODY
        self.length = 0
        self.keep_alive = False
        self.idle_timeout_s = 0.0  # from Keep-Alive: timeout=N; 0 when it did not say
        self.upgrade = b""
        self.forward = b""
        self.has_request_id = False
        self.ties = False  # its connection is one client's from now on
        self.is_rare = status >= 400  # or any other that needs a second look

    def with_line(self, line: bytes) -> Response:
        """A copy that has one more line; the original may be remembered, and answer others."""
        copy = Response(self.status)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.forward += line
        return copy
