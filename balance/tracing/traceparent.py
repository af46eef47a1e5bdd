"""W3C Trace Context: `traceparent` and `tracestate`, read strictly. What breaks a rule is no context, and never an error."""

from __future__ import annotations

import re
from typing import Final

from balance.tracing.span_context import RANDOM, SAMPLED, SpanContext, is_id

LENGTH: Final = 55  # of version 00; those of later versions may have more behind it
MAX_STATE: Final = 512  # bytes of tracestate that are passed on; section 3.3.1.5 asks for at least so many
MAX_MEMBERS: Final = 32
LONG_MEMBER: Final = 128  # bytes; the first to go when there is too much (the same section)

_VERSION: Final = re.compile(rb"[0-9a-f]{2}")
_MEMBER: Final = re.compile(
    rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


def parse_traceparent(value: bytes) -> SpanContext | None:
    """The context of a `traceparent`; None where it is malformed."""
    if len(value) < LENGTH or value[2:3] != b"-" or value[35:36] != b"-" or value[52:53] != b"-":
        return None
    version, flags = value[:2], value[53:55]
    if not _VERSION.fullmatch(version) or version == b"ff" or not _VERSION.fullmatch(flags):
        return None
    if len(value) > LENGTH and (version == b"00" or value[LENGTH : LENGTH + 1] != b"-"):
        return None
    trace_id, span_id = value[3:35], value[36:52]
    if not is_id(trace_id, 32) or not is_id(span_id, 16):
        return None
    known = int(flags, 16) & (SAMPLED | RANDOM)  # section 3.2.2.5: other bits are unknown to us, and are sent as zero
    return SpanContext(trace_id, span_id, known)


def bounded_state(values: list[bytes]) -> bytes:
    """The members of all `tracestate` fields as one value that is passed on; b"" where they are malformed, or too many."""
    members = [member for value in values for each in value.split(b",") if (member := each.strip(b" \t"))]
    if len(members) > MAX_MEMBERS or not all(_MEMBER.fullmatch(member) for member in members):
        return b""
    if len({member.partition(b"=")[0] for member in members}) < len(members):
        return b""  # section 3.3.1.3: one entry a key
    state = b",".join(members)
    if len(state) > MAX_STATE:
        members = [member for member in members if len(member) <= LONG_MEMBER]
        while len(state := b",".join(members)) > MAX_STATE:
            members.pop()
    return state
