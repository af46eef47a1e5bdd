"""The access log's format `template`: a text of the user's with fields in braces, checked when the configuration is read.

`{path}` is the field as text, escaped like in the combined format, `-` where it is empty; `{path:json}` is it as a JSON value.
`{{` and `}}` are braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from difflib import get_close_matches
from json.encoder import encode_basestring_ascii
from typing import Final

from balance.log_lines.access_record import FIELDS, AccessRecord, AccessValues
from balance.log_lines.line_formats import LineFormat, escaped, milliseconds
from balance.log_lines.line_time import IsoTime

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_TIMES: Final = {"queue_ms": "queue_us", "connect_ms": "connect_us", "ttfb_ms": "ttfb_us", "total_ms": "total_us"}
_SENT: Final = ("host", "referer", "user_agent")
_RARE: Final = ("detail", "rule", "user", "region", "backend_region", "trace_id", "span_id", "grpc_status")

Field = Callable[[AccessRecord, float, float], str]  # its text in a line, as in LineFormat


def template_line(template: str) -> LineFormat:
    """The lines that `template` asks for. ValueError says what is wrong with it and what is allowed."""
    literals, fields = _read(template)
    last = literals.pop() + "\n"

    def line(values: AccessValues, now: float, part: float) -> str:
        record = AccessRecord._make(values)
        pieces = []
        for literal, field in zip(literals, fields, strict=True):
            pieces.append(literal)
            pieces.append(field(record, now, part))
        pieces.append(last)
        return "".join(pieces)

    return line


def _read(template: str) -> tuple[list[str], list[Field]]:
    """The texts between the fields, one more than those, and the fields. ValueError has every mistake."""
    if not template.isascii() or not template.isprintable():
        raise ValueError("a template is one line of printable ASCII; other characters and line breaks may not stand in it")
    literals: list[str] = [""]
    fields: list[Field] = []
    mistakes: list[str] = []
    is_unknown = False
    at = 0
    for match in _PIECE.finditer(template):
        literals[-1] += template[at : match.start()]
        at = match.end()
        if match[0] in ("{{", "}}"):
            literals[-1] += match[0][0]
        elif match[1] is None:
            mistakes.append(
                f"a single {match[0]!r} at character {match.start() + 1}; write {match[0] * 2} for the brace itself"
            )
        else:
            name, colon, form = match[1].partition(":")
            if name not in FIELDS:
                mistakes.append(_unknown(match[1], name))
                is_unknown = True
            elif colon and form != "json":
                mistakes.append(f"{{{match[1]}}}: after the colon only json may stand, which writes the field as a JSON value")
            else:
                fields.append(_of_text(name, is_json=form == "json"))
                literals.append("")
    literals[-1] += template[at:]
    if mistakes:
        text = "; ".join(dict.fromkeys(mistakes))
        ending = "" if text.endswith("?") else "."
        raise ValueError(f"{text}{ending} Fields are {', '.join(FIELDS)}" if is_unknown else text)
    if not fields:
        raise ValueError("a template needs fields in braces, like {client} {method} {path} {status}")
    return literals, fields


def _unknown(text: str, name: str) -> str:
    close = get_close_matches(name, FIELDS, 1)
    return f"there is no field {{{text}}}" + (f"; did you mean {{{close[0]}}}?" if close else "")


def _of_text(name: str, *, is_json: bool) -> Field:
    as_text: Callable[[str], str] = encode_basestring_ascii if is_json else lambda text: escaped(text) if text else "-"
    if name == "time":
        clock = IsoTime().text
        return lambda record, now, part: f'"{clock(now)}"' if is_json else clock(now)
    if name == "sample":
        return lambda record, now, part: repr(part)
    if name == "tries":
        return _tries_json if is_json else _tries
    if name in _TIMES:
        attribute = _TIMES[name]
        return lambda record, now, part: milliseconds(getattr(record, attribute))
    if name in _SENT:
        return lambda record, now, part: as_text(getattr(record.sent, name))
    if name in _RARE:
        return lambda record, now, part: as_text(getattr(record.rare, name))
    if name in ("status", "bytes_in", "bytes_out", "attempts"):
        return lambda record, now, part: str(getattr(record, name))
    return lambda record, now, part: as_text(getattr(record, name))


def _tries(record: AccessRecord, now: float, part: float) -> str:
    """One column: each backend, how it failed, and after how many milliseconds."""
    tries = record.rare.tries
    return ",".join([f"{escaped(failed.backend)}:{failed.why}:{failed.ms}" for failed in tries]) if tries else "-"


def _tries_json(record: AccessRecord, now: float, part: float) -> str:
    return json.dumps([failed._asdict() for failed in record.rare.tries])
