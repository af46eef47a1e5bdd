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
# Names, quoted, each with what stands around it in a line: what is joined there costs by its pieces.
_clients: Final[dict[str, str]] = {}
_methods: Final[dict[str, str]] = {}
_versions: Final[dict[str, str]] = {}
_whys: Final[dict[str, str]] = {}
_backends: Final[dict[str, str]] = {}
_pools: Final[dict[str, str]] = {}
_ends: Final[dict[str, str]] = {}  # of lines, by route
_time: Final = IsoTime().text


def milliseconds(us: int) -> str:
    """Microseconds as milliseconds, with three decimals; -1.0 for NEVER_US."""
    return f"{us // 1000}{_DECIMALS[us % 1000]}" if us >= 0 else "-1.0"


def json_line(values: AccessValues, now: float, part: float) -> str:
    """One JSON object: what json.dumps would write, at a tenth of its price."""
    (client, method, path, version, sent, status, why, bytes_in, bytes_out, backend, pool, attempts, request_id, queue_us,
     connect_us, ttfb_us, total_us, retry, route, rare) = values  # fmt: skip
    numbers, decimals = _NUMBERS, _DECIMALS
    try:
        client, method, version, why, backend, pool = (  # all of them or none
            _clients[client], _methods[method], _versions[version], _whys[why], _backends[backend], _pools[pool],
        )  # fmt: skip
    except KeyError:
        client = _learn(_clients, '", "client": ', client, ', "method": ')
        method = _learn(_methods, "", method, ', "host": ')
        version = _learn(_versions, ', "version": ', version, ', "status": ')
        why = _learn(_whys, ', "why": ', why, ', "bytes_in": ')
        backend = _learn(_backends, ', "backend": ', backend, ', "pool": ')
        pool = _learn(_pools, "", pool, ', "attempts": ')
    if rare is NO_RARE and part == 1.0 and not retry:
        try:
            end = _ends[route]
        except KeyError:
            end = _end(route)
    else:
        end = f', "retry": "{retry}", "route": {_quote(route)}{_rare(rare, part)}}}\n'
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
    # Not more than 30 pieces, of which CPython would make a list.
    return (
        f'{{"time": "{_time(now)}{client}{method}{sent.json_host or _host_json(sent)}{_quote(path)}{version}{numbers[status]}'
        f'{why}{received}, "bytes_out": {bytes_out}{backend}{pool}{numbers[attempts]}, "request_id": "{request_id}'
        f'{sent.json_agent or _agent_json(sent)}{queue}, "connect_ms": {connect}{connect_after}, "ttfb_ms": {ttfb}{ttfb_after}'
        f', "total_ms": {total}{total_after}{end}'
    )


def _learn(names: dict[str, str], before: str, name: str, after: str) -> str:
    """The name in quotes between these texts; kept, if it is as short as names are."""
    text = names.get(name)
    if text is None:
        if len(names) >= MAX_NAMES:
            names.clear()
        text = f"{before}{_quote(name)}{after}"
        if len(text) <= MAX_NAME:
            names[name] = text
    return text


def _end(route: str) -> str:
    """The end of most lines of this route."""
    end = f', "retry": "", "route": {_quote(route)}}}\n'
    if len(_ends) >= MAX_NAMES:
        _ends.clear()
    _ends[route] = end
    return end


def _host_json(sent: SentFields) -> str:
    sent.json_host = f'{_quote(sent.host)}, "path": '
    return sent.json_host


def _agent_json(sent: SentFields) -> str:
    sent.json_agent = f'", "referer": {_quote(sent.referer)}, "user_agent": {_quote(sent.user_agent)}, "queue_ms": '
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
    if rare.grpc_status:
        text += f', "grpc_status": "{rare.grpc_status}"'
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
