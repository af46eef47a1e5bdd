"""Which header fields tell of traces, in and out: those of the formats that `tracing.propagate` names.

Fields of other formats are not ours: they go on as they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balance.tracing.b3 import parse_b3, parse_multi
from balance.tracing.span_context import RANDOM, SAMPLED, SpanContext
from balance.tracing.traceparent import bounded_state, parse_traceparent

W3C: Final = "w3c"
B3: Final = "b3"  # the single field; both forms are read
B3_MULTI: Final = "b3multi"
FORMATS: Final = (W3C, B3, B3_MULTI)

DEBUG: Final = 4  # beside the bits of the trace flags, where fields are made: B3's debug flag

_PARENT: Final = b"traceparent"
_STATE: Final = b"tracestate"
_B3: Final = b"b3"
_MULTI: Final = (b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags")


class Incoming:
    """What the field lines of a request say of its trace, and the lines without it."""

    __slots__ = ("context", "lines")

    def __init__(self, context: SpanContext | None, lines: bytes) -> None:
        self.context = context
        self.lines = lines


class Propagation:
    """Reads contexts from field lines, and makes lines of them."""

    __slots__ = ("_copies", "_formats", "_names", "_starts", "_templates")

    def __init__(self, formats: Sequence[str]) -> None:
        self._formats = tuple(formats)
        names: list[bytes] = []
        if W3C in formats:
            names += (_PARENT, _STATE)
        if B3 in formats or B3_MULTI in formats:
            names += (_B3, *_MULTI)
        self._names = names
        self._starts = [b"\n" + start for start in ([b"traceparent:", b"tracestate:"] if W3C in formats else [])]
        if B3 in formats or B3_MULTI in formats:
            self._starts += [b"\nb3:", b"\nx-b3-"]
        self._copies = len(self._formats)  # how often the two ids stand in a template
        self._templates = tuple(self._template(flags) for flags in range(8))  # by flags, DEBUG among them

    def read(self, lines: bytes) -> Incoming | None:
        """What these field lines, each with its CRLF, say; None where they say nothing. The first format that does counts."""
        lower = b"\n" + lines.lower()
        if not any(start in lower for start in self._starts):
            return None
        context = None
        for each in self._formats:
            context = _read_w3c(lines, lower) if each == W3C else _read_b3(lines, lower)
            if context is not None:
                break
        return Incoming(context, _without(lines, lower, self._names))

    def lines(self, trace_id: bytes, span_id: bytes, flags: int, state: bytes) -> bytes:
        """The field lines that tell the next one of this span."""
        lines = self._templates[flags] % ((trace_id, span_id) * self._copies)
        return b"%btracestate: %b\r\n" % (lines, state) if state and W3C in self._formats else lines

    @property
    def around_ids(self) -> tuple[bytes, bytes]:
        """What stands before and after the ids, with a `-` between them, in the one line of a request that is not sampled;
        empty where the lines are not made so."""
        before, dash, after = self._templates[0].partition(b"%b-%b")
        return (before, after) if dash and self._formats in ((W3C,), (B3,)) else (b"", b"")

    def _template(self, flags: int) -> bytes:
        is_sampled = flags & SAMPLED
        lines = b""
        for each in self._formats:
            if each == W3C:
                lines += b"traceparent: 00-%%b-%%b-%02x\r\n" % (flags & (SAMPLED | RANDOM))
            elif each == B3:
                lines += b"b3: %%b-%%b-%b\r\n" % (b"d" if flags & DEBUG else b"%d" % is_sampled)
            else:
                last = b"X-B3-Flags: 1" if flags & DEBUG else b"X-B3-Sampled: %d" % is_sampled
                lines += b"X-B3-TraceId: %%b\r\nX-B3-SpanId: %%b\r\n%b\r\n" % last
        return lines


def _read_w3c(lines: bytes, lower: bytes) -> SpanContext | None:
    parents = _values(lines, lower, _PARENT)
    if len(parents) != 1:
        return None
    context = parse_traceparent(parents[0])
    if context is not None:
        context.state = bounded_state(_values(lines, lower, _STATE))
    return context


def _read_b3(lines: bytes, lower: bytes) -> SpanContext | None:
    single = _values(lines, lower, _B3)
    if single:
        return parse_b3(single[0]) if len(single) == 1 else None
    found = {name[5:]: values for name in _MULTI if (values := _values(lines, lower, name))}
    return parse_multi(found) if found else None


def _values(lines: bytes, lower: bytes, name: bytes) -> list[bytes]:
    """The values of the fields of that name; `lower` are `lines` in lower case, with an LF before them."""
    start, found = b"\n%b:" % name, []
    at = lower.find(start)
    while at >= 0:
        at += len(start)
        found.append(lines[at - 1 : lower.find(b"\r", at) - 1].strip(b" \t"))
        at = lower.find(start, at)
    return found


def _without(lines: bytes, lower: bytes, names: Sequence[bytes]) -> bytes:
    """`lines` without the fields of these names; `lower` are they in lower case, with an LF before them."""
    for name in names:
        start = b"\n%b:" % name
        at = lower.find(start)
        while at >= 0:
            end = lower.find(b"\n", at + 1)  # of the line
            lines = lines[:at] + lines[end:]
            lower = lower[: at + 1] + lower[end + 1 :]
            at = lower.find(start, at)
    return lines
