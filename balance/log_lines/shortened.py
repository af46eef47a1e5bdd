"""A line that fits into the most that its output takes, still in its format: the longest texts in it are cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from balance.log_lines.access_record import AccessRecord, SentFields
from balance.log_lines.line_formats import LineFormat

_CHARS: Final = (400, 150, 60, 20)  # for a text; a character may become six bytes
_TRIES: Final = 5


def shortened(record: AccessRecord, now: float, part: float, line_format: LineFormat, longest: int) -> str:
    """The line, with texts cut as far as `longest` bytes need it. `...` ends what was cut."""
    line = ""
    for chars in _CHARS:
        line = line_format(_cut(record, chars), now, part)
        if len(line) <= longest:
            return line
    return line[: longest - 1] + "\n"


def _cut(record: AccessRecord, chars: int) -> AccessRecord:
    def text(whole: str) -> str:
        return whole if len(whole) <= chars else whole[:chars] + "..."

    sent, rare = record.sent, record.rare
    return record._replace(
        method=text(record.method),
        path=text(record.path),
        version=text(record.version),
        sent=SentFields(text(sent.host), text(sent.referer), text(sent.user_agent)),
        request_id=text(record.request_id),
        rare=replace(rare, detail=text(rare.detail), user=text(rare.user), tries=rare.tries[-_TRIES:]),
    )
