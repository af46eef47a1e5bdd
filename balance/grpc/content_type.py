"""Which calls a Content-Type announces: gRPC, or gRPC-Web in bytes or in base64."""

from __future__ import annotations

from typing import Final

NOT_GRPC: Final = 0
GRPC: Final = 1
WEB: Final = 2  # gRPC-Web: the trailers are a frame of the body
WEB_TEXT: Final = 3  # the same, all of it in base64

_GRPC: Final = b"application/grpc"
_KINDS: Final = ((b"-web-text", WEB_TEXT), (b"-web", WEB), (b"", GRPC))
_ENDS: Final = (b"", b"+", b";", b" ", b"\t")


def kind_of(content_type: bytes) -> int:
    """GRPC, WEB, WEB_TEXT, or NOT_GRPC for what is none, `application/grpcx` say."""
    if content_type == _GRPC:  # of nearly all calls
        return GRPC
    lower = content_type.lower()
    if not lower.startswith(_GRPC):
        return NOT_GRPC
    rest = lower[len(_GRPC) :]
    for suffix, kind in _KINDS:
        if rest.startswith(suffix) and rest[len(suffix) : len(suffix) + 1] in _ENDS:
            return kind
    return NOT_GRPC


def with_kind(content_type: bytes, kind: int) -> bytes:
    """The Content-Type of the same messages in another kind: `application/grpc+proto` is `application/grpc-web+proto`."""
    rest = content_type[len(_GRPC) :]
    for suffix, is_kind in _KINDS:
        if is_kind == kind_of(content_type):
            rest = rest[len(suffix) :]
            break
    for suffix, is_kind in _KINDS:
        if is_kind == kind:
            return _GRPC + suffix + rest
    return content_type
