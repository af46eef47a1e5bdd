"""Which fields an authorizer gets of a request, and which of its reply go on to the client (forward_auth)."""

from __future__ import annotations

from typing import Final

# Hop-by-hop (RFC 9110 section 7.6.1), or about a body that the question does not have.
NEVER_PASSED: Final = frozenset((
    "connection", "content-encoding", "content-length", "content-md5", "content-range", "expect", "host", "http2-settings",
    "keep-alive", "max-forwards", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
))  # fmt: skip
# With these the authorizer would answer about its own page, with 206, 304, 412 or 416, and not about the request. RFC 9110
# sections 13 and 14.
CONDITIONAL: Final = frozenset((
    "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range",
))  # fmt: skip
# What we say ourselves; a client that says it, in whatever spelling, would be judged as another, or by another path.
SAID_BY_US: Final = frozenset((
    "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-method", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-server", "x-forwarded-ssl", "x-forwarded-uri",
    "x-http-method-override", "x-original-method", "x-original-uri", "x-original-url", "x-real-ip", "x-rewrite-url",
))  # fmt: skip
# Of a denial: what we say of the connection and of the moment ourselves.
NOT_OF_DENIALS: Final = frozenset((b"connection", b"content-length", b"date", b"upgrade", b"x-request-id"))
