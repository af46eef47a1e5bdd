"""Records for the access log of what has no exchange: what was answered without a backend, and sessions in TCP mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balance.http1.fields import field_value
from balance.log_lines.access_record import (
    NEVER_US,
    NO_FIELDS,
    SESSION,
    AccessRecord,
    FailedTry,
    RareFields,
    SentFields,
)
from balance.model import Why

MAX_UNREAD: Final = 4096  # bytes of a refused head that are read for the log
WORDS: Final = tuple(why.word for why in Why)  # by why: an Enum takes a hundred times as long to tell its name


def unserved(
    peer: str, head: bytes, status: int, why: Why, bytes_out: int, pool: str, request_id: bytes, detail: str, total_us: int
) -> AccessRecord:
    """The record of a request that was answered without a backend. `head` may be any bytes that a client sent."""
    line, _, lines = head[:MAX_UNREAD].partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    method, path, version = words if len(words) == 3 else ("", words[0], "")
    sent = SentFields(field_value(lines, b"host"), field_value(lines, b"referer"), field_value(lines, b"user-agent"))
    return AccessRecord(
        peer,
        method,
        path,
        version,
        sent,
        status,
        WORDS[why],
        len(head),
        bytes_out,
        "",
        pool,
        0,
        request_id.decode("ascii"),
        NEVER_US,
        NEVER_US,
        NEVER_US,
        total_us,
        "",
        "",
        RareFields(detail),
    )


def session(
    session_id: bytes,
    client: str,
    backend: str,
    pool: str,
    why: Why,
    moved: tuple[int, int],
    attempts: int,
    connect_us: int,
    total_us: int,
    retry: str,
    queue_us: int,
    tries: Sequence[FailedTry],
    detail: str = "",
) -> AccessRecord:
    """The record of a TCP session. `moved` are the bytes from the client and from the backend."""
    return AccessRecord(
        client,
        SESSION,
        "",
        "",
        NO_FIELDS,
        0,
        WORDS[why],
        moved[0],
        moved[1],
        backend,
        pool,
        attempts,
        session_id.decode("ascii"),
        queue_us,
        connect_us,
        NEVER_US,
        total_us,
        retry,
        "",
        RareFields(detail, tries),
    )
