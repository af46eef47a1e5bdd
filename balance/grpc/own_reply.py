"""The lines of a call's status that Balance gives itself: a reply that is trailers only."""

from __future__ import annotations

from typing import Final

from balance.grpc.content_type import GRPC, WEB, WEB_TEXT
from balance.grpc.status_message import encode_message
from balance.grpc.statuses import status_of
from balance.model import Why

_TYPES: Final[dict[int, bytes]] = {
    GRPC: b"application/grpc",
    WEB: b"application/grpc-web+proto",
    WEB_TEXT: b"application/grpc-web-text+proto",
}


def status_lines(kind: int, status: int, message: str) -> bytes:
    """The field lines, each with its CRLF, of a trailers-only reply (its status in HTTP is 200) with this gRPC status."""
    lines = b"content-type: %b\r\ngrpc-status: %d\r\n" % (_TYPES[kind], status)
    value = encode_message(message)
    return lines + b"grpc-message: %b\r\n" % value if value else lines


def error_lines(kind: int, status: int, why: Why, detail: str) -> bytes:
    """status_lines() in place of an error reply of ours with this `status` in HTTP."""
    return status_lines(kind, status_of(status, why), f"{detail} ({why.word})" if detail else why.word)
