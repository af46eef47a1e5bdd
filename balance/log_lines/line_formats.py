"""The access log's own formats: JSON, and Apache's combined. A line is ASCII, whatever a client has sent.

Nothing that a client sends may end a line or control a terminal: JSON escapes all but printable ASCII, combined as nginx and
Apache do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Final

from balance.log_lines.access_record import NO_RARE, AccessRecord, AccessValues, RareFields, SentFields
from balance.log_lines.line_time import IsoTime, apache_time

# The line of a record, with its line end. The floats are the time in seconds, and the part of its like that is logged.
LineFormat = Callable[[AccessValues, float, float], str]

MAX_NAMES: Final = 4096  # quoted names that are kept
MAX_NAME: Final = 120  # characters of each

_UNSAFE: Final = re.compile(r'["\\]|[^ -~]')
_UNSAFE_NAME: Final = re.compile(r'["\\]|[^!-~]|[][]|\A-\Z')
_NUMBERS: Final = tuple(str(number) for number in range(1000))  # a look is a fifth of a conversion
_DECIMALS: Final = tuple(f".{us:03d}" for us in range(1000))
_SECOND_US: Final = 1_000_000
_quote: Final = encode_basestring_ascii  # of C: what json.dumps writes for a text
_names: dict[str, str] = {}  # clients, methods, versions, backends, pools and routes, quoted
_ends: dict[str, str] = {}  # of lines, by route
_time: Final = IsoTime().text


def milliseconds(us: int) -> str:
    """Microseconds as milliseconds, with three decimals; -1.0 for NEVER_US."""
    return f"{us // 1000}{_DECIMALS[us % 1000]}" if us >= 0 else "-1.0"


def json_line(values: AccessValues, now: float, part: float) -> str:
    """One JSON object: what json.dumps would write, at a tenth of its price."""
    (client, method, path, version, sent, status, why, bytes_in, bytes_out, backend, pool, attempts, request_id, queue_us,
     connect_us, ttfb_us, total_us, retry, route, rare) = values  # fmt: skip
    names, numbers, decimals = _names, _NUMBERS, _DECIMALS
    try:
        client, method, version, backend, pool = names[client], names[method], names[version], names[backend], names[pool]
    except KeyError:
        client, method, version, backend, pool = map(_learn, (client, method, version, backend, pool))
    if rare is NO_RARE and part == 1.0 and not retry:
        try:
            end = _ends[route]
        except KeyError:
            end = _end(route)
    else:
        end = f'"retry": "{retry}", "route": {_learn(route)}{_rare(rare, part)}}}\n'
    queue = "0.000" if not queue_us else milliseconds(queue_us)
    if 0 <= ttfb_us <= total_us < _SECOND_US and 0 <= connect_us <= total_us:
        connect = "0"
        if connect_us >= 1000:
            connect = numbers[connect_us // 1000]
            connect_us %= 1000
        connect_after = decimals[connect_us]
        ttfb, ttfb_after = numbers[ttfb_us // 1000], decimals[ttfb_us % 1000]
        total, total_after = numbers[total_us // 1000], decimals[total_us % 1000]
    else:
        connect, ttfb, total = milliseconds(connect_us), milliseconds(ttfb_us), milliseconds(total_us)
        connect_after = ttfb_after = total_after = ""
    received = numbers[bytes_in] if bytes_in < 1000 else bytes_in
    if '"' in request_id or "\\" in request_id:  # it is a token otherwise, see http1.request
        request_id = _quote(request_id)[1:-1]
    # In two parts, because CPython makes a list of what is more than 30 pieces.
    return (
        f'{{"time": "{_time(now)}", "client": {client}, "method": {method}, "host": {sent.json_host or _host_json(sent)}, '
        f'"path": {_quote(path)}, "version": {version}, "status": {numbers[status]}, "why": "{why}", "bytes_in": {received}'
    ) + (
        f', "bytes_out": {bytes_out}, "backend": {backend}, "pool": {pool}, "attempts": {numbers[attempts]}, '
        f'"request_id": "{request_id}", {sent.json_agent or _agent_json(sent)}, "queue_ms": {queue}, "connect_ms": {connect}'
        f'{connect_after}, "ttfb_ms": {ttfb}{ttfb_after}, "total_ms": {total}{total_after}, {end}'
    )


def _learn(name: str) -> str:
    """The name in quotes; kept, if it is as short as names are."""
    quoted = _names.get(name)
    if quoted is None:
        if len(_names) >= MAX_NAMES:
            _names.clear()
        quoted = _quote(name)
        if len(quoted) <= MAX_NAME:
            _names[name] = quoted
    return quoted


def _end(route: str) -> str:
    """The end of most lines of this route."""
    end = f'"retry": "", "route": {_learn(route)}}}\n'
    if len(_ends) >= MAX_NAMES:
        _ends.clear()
    _ends[route] = end
    return end


def _host_json(sent: SentFields) -> str:
    sent.json_host = _quote(sent.host)
    return sent.json_host


def _agent_json(sent: SentFields) -> str:
    sent.json_agent = f'"referer": {_quote(sent.referer)}, "user_agent": {_quote(sent.user_agent)}'
    return sent.json_agent


def _rare(rare: RareFields, part: float) -> str:
    """The fields that are left out where they are empty."""
    said: dict[str, object] = {}
    if rare.detail:
        said["detail"] = rare.detail
    if rare.tries:
        said["tries"] = [failed._asdict() for failed in rare.tries]
    last = (("rule", rare.rule), ("user", rare.user), ("region", rare.region), ("backend_region", rare.backend_region))
    said |= {name: value for name, value in last if value}
    text = ", " + json.dumps(said)[1:-1] if said else ""
    if rare.trace_id:
        text += f', "trace_id": "{rare.trace_id}", "span_id": "{rare.span_id}"'  # hexadecimal digits
    return text if part == 1.0 else f'{text}, "sample": {part!r}'


def combined_line(values: AccessValues, now: float, part: float) -> str:
    """Apache's combined log format."""
    record = AccessRecord._make(values)
    sent = record.sent
    line = quoted(f"{record.method} {record.path} {record.version}")
    client, size = f"{record.client} - {_user(record.rare.user)}", record.bytes_out or "-"
    agent = f"{quoted(sent.referer)} {quoted(sent.user_agent)}"
    return f"{client} [{apache_time(int(now))}] {line} {record.status} {size} {agent}\n"


def _user(name: str) -> str:
    """The third column: no space or bracket in a name may move the columns behind it."""
    return _UNSAFE_NAME.sub(_escaped, name) if name else "-"


def quoted(text: str) -> str:
    """A text in quotes, `"-"` for none."""
    return '"' + escaped(text) + '"' if text else '"-"'


def escaped(text: str) -> str:
    """Without what may end a line, a quoted text, or control a terminal."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    """Escaped as in nginx and Apache."""
    char = match[0]
    escaped = "\\" + char if char in '"\\' else char.encode("unicode_escape").decode("ascii")
    return escaped if escaped != char else f"\\x{ord(char):02x}"
