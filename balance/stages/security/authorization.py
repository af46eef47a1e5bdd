"""A question to an authorizer about a request, and its answer. Who asks it, and when, is the proxy's business."""

from __future__ import annotations


class Question:
    """A GET without a body."""

    __slots__ = ("host", "key", "lines", "path", "timeout_s")

    def __init__(self, path: bytes, host: bytes, lines: bytes, key: bytes, timeout_s: float) -> None:
        """`host` is b"" for the authorizer's own address. `lines` are all other fields; `key` is what a policy may hash."""
        self.path = path
        self.host = host
        self.lines = lines
        self.key = key
        self.timeout_s = timeout_s


class Answer:
    """What came back: a reply, or with status 0 the reason why there is none."""

    __slots__ = ("body", "detail", "lines", "status")

    def __init__(self, status: int, lines: bytes = b"", body: bytes = b"", detail: str = "") -> None:
        """`lines` are the field lines, each with its CRLF, without hop-by-hop ones; the body of a 2xx is not read."""
        self.status = status
        self.lines = lines
        self.body = body
        self.detail = detail
