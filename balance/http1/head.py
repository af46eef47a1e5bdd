"""Parsed heads of requests and responses; immutable once parsed."""

from __future__ import annotations

from typing import Any

from balance.http1.framing import NO_BODY


class RequestFields:
    """The parsed field lines of a request. Shared by requests with identical lines."""

    __slots__ = (
        "cache",
        "connection",
        "expects_continue",
        "forward",
        "forwarding",
        "framing",
        "has_connection_auth",
        "host",
        "length",
        "logged",
        "max_forwards",
        "notes",
        "request_id",
        "traced",
        "upgrade",
        "values",
    )  # fmt: skip

    def __init__(self) -> None:
        self.host: bytes | None = None
        self.framing = NO_BODY
        self.length = 0
        self.connection: frozenset[bytes] = frozenset()  # the options of Connection, lower case
        self.upgrade = b""  # the protocols of Upgrade that may be forwarded
        self.expects_continue = False  # 100-continue
        self.has_connection_auth = False  # its Authorization applies to the connection (NTLM, Negotiate)
        self.request_id = b""
        self.max_forwards = b""
        self.forwarding: tuple[tuple[bytes, bytes], ...] = ()  # (lower-case name, value) of X-Forwarded-* and the like
        self.forward = b""  # the lines to forward, each with its CRLF
        self.cache: dict[object, bytes] | None = None  # what was searched for in the lines, by who did (see hashkey)
        self.values: dict[bytes, list[bytes]] | None = None  # what conditions asked for (see routing/request_view)
        self.notes: dict[object, Any] | None = None  # what stages have found out from the lines (see stages/notes)
        self.logged: Any = None  # what the access log has of the lines (see proxy/http/account)
        self.traced: Any = None  # what they say of a trace (see proxy/http/traced)

    def with_lines(self, forward: bytes) -> RequestFields:
        """A copy with other lines to forward; nothing that was searched for or found in the lines goes along."""
        copy = RequestFields()
        copy.host = self.host
        copy.framing = self.framing
        copy.length = self.length
        copy.connection = self.connection
        copy.upgrade = self.upgrade
        copy.expects_continue = self.expects_continue
        copy.has_connection_auth = self.has_connection_auth
        copy.request_id = self.request_id
        copy.max_forwards = self.max_forwards
        copy.forwarding = self.forwarding
        copy.forward = forward
        return copy


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
        self.minor = minor
        self.line = line
        self.fields = fields
        self.keep_alive = keep_alive
        self.ends_here = ends_here  # Max-Forwards is 0
        self.is_uncommon = is_rare  # that, or its fields tie


class Response:
    """A response's head, as for a GET. `forward` is its status line and the field lines to forward."""

    __slots__ = (
        "changes",
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

    def __init__(self, status: int) -> None:
        self.status = status
        self.framing = NO_BODY
        self.length = 0
        self.keep_alive = False
        self.idle_timeout_s = 0.0  # from Keep-Alive: timeout=N; 0 without it
        self.upgrade = b""
        self.forward = b""
        self.has_request_id = False
        self.has_connection_auth = False  # its connection is one client's from now on
        self.is_uncommon = status >= 400  # or any other that needs a second look
        self.changes: dict[object, Response] | None = None  # what routes make of it (see proxy/http/routed/routing)

    def with_line(self, line: bytes) -> Response:
        """A copy with one more line; the original may be cached."""
        return self.changed(self.forward + line)

    def changed(self, forward: bytes) -> Response:
        """A copy with other lines to forward; the original may be cached."""
        copy = Response(self.status)
        copy.framing = self.framing
        copy.length = self.length
        copy.keep_alive = self.keep_alive
        copy.idle_timeout_s = self.idle_timeout_s
        copy.upgrade = self.upgrade
        copy.forward = forward
        copy.has_request_id = self.has_request_id
        copy.has_connection_auth = self.has_connection_auth
        copy.is_uncommon = self.is_uncommon
        return copy
