"""Parsed heads of requests and responses; immutable once parsed."""

from __future__ import annotations

from typing import Any

from balance.http1.framing import NO_BODY


class RequestFields:
    """The parsed field lines of a request. Shared by requests with identical lines."""

    __slots__ = (
        "between",
        "block",
        "cache",
        "connection",
        "expects_continue",
        "forward",
        "forwarding",
        "framing",
        "has_connection_auth",
        "host",
        "length",
        "lines_after",
        "lines_before",
        "logged",
        "max_forwards",
        "notes",
        "request_id",
        "traced",
        "upgrade",
        "values",
    )  # fmt: skip

    def __init__(self, read: RequestFields | None = None, forward: bytes = b"") -> None:
        """`read`: what they say was read before, under other lines to forward."""
        self.forward = forward  # the lines to forward, each with its CRLF
        self.host: bytes | None = None
        self.connection: frozenset[bytes] = frozenset()  # the options of Connection, lower case
        self.forwarding: tuple[tuple[bytes, bytes], ...] = ()  # (lower-case name, value) of X-Forwarded-* and the like
        if read is None:
            self.framing = NO_BODY
            self.length = 0
            self.upgrade = b""  # the protocols of Upgrade that may be forwarded
            self.expects_continue = False  # 100-continue
            self.has_connection_auth = False  # its Authorization applies to the connection (NTLM, Negotiate)
            self.request_id = b""
            self.max_forwards = b""
        else:
            self.host = read.host
            self.framing = read.framing
            self.length = read.length
            self.connection = read.connection
            self.upgrade = read.upgrade
            self.expects_continue = read.expects_continue
            self.has_connection_auth = read.has_connection_auth
            self.request_id = read.request_id
            self.max_forwards = read.max_forwards
            self.forwarding = read.forwarding
        self.block = (
            b""  # what they were read from, where that is remembered: from the LF of the request line to the empty line
        )
        self.cache: dict[object, bytes] | None = None  # what was searched for in the lines, by who did (see hashkey)
        self.values: dict[bytes, list[bytes]] | None = None  # what conditions asked for (see routing/request_view)
        self.notes: dict[object, Any] | None = None  # what stages have found out from the lines (see stages/notes)
        self.logged: Any = None  # what the access log has of the lines (see proxy/http/exchange/account)
        self.traced: Any = None  # what they say of a trace (see proxy/http/traced)
        # What the same client was sent with before, and what came between its request line and the id (see usual_head()).
        self.lines_before = self.lines_after = self.between = b""

    def with_lines(self, forward: bytes) -> RequestFields:
        """A copy with other lines to forward; nothing that was searched for or found in the lines goes along."""
        return RequestFields(self, forward)


class Request:
    """A request's head. `line` is the request line to forward, with its CRLF."""

    __slots__ = ("ends_here", "fields", "is_uncommon", "keep_alive", "line", "method", "minor", "target")

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
        self.minor = minor  # of HTTP/1; 2: of HTTP/2
        self.line = line
        self.fields = fields
        self.keep_alive = keep_alive
        self.ends_here = ends_here  # Max-Forwards is 0
        self.is_uncommon = is_rare  # that, or its fields tie


class Response:
    """A response's head, as for a GET. `forward` is its status line and the field lines to forward."""

    __slots__ = (
        "changes",
        "content_type",
        "forward",
        "framing",
        "has_connection_auth",
        "has_request_id",
        "idle_timeout_s",
        "is_uncommon",
        "keep_alive",
        "length",
        "status",
        "upgrade",
    )  # fmt: skip

    def __init__(self, status: int, read: Response | None = None, forward: bytes = b"") -> None:
        """`read`: what was read before, under other lines to forward."""
        self.status = status
        self.forward = forward
        if read is None:
            self.framing = NO_BODY
            self.length = 0
            self.keep_alive = False
            self.idle_timeout_s = 0.0  # from Keep-Alive: timeout=N; 0 without it
            self.upgrade = b""
            self.has_request_id = False
            self.has_connection_auth = False  # its connection is one client's from now on
            self.is_uncommon = status >= 400  # or any other that needs a second look
        else:
            self.framing = read.framing
            self.length = read.length
            self.keep_alive = read.keep_alive
            self.idle_timeout_s = read.idle_timeout_s
            self.upgrade = read.upgrade
            self.has_request_id = read.has_request_id
            self.has_connection_auth = read.has_connection_auth
            self.is_uncommon = read.is_uncommon
        self.content_type: bytes | None = None  # once it was looked for (see proxy/http/grpc/field_lookup)
        self.changes: dict[object, Response] | None = None  # what routes make of it (see proxy/http/routed/routing)

    def with_line(self, line: bytes) -> Response:
        """A copy with one more line; the original may be cached."""
        return self.changed(self.forward + line)

    def changed(self, forward: bytes) -> Response:
        """A copy with other lines to forward; the original may be cached."""
        return Response(self.status, self, forward)
