"""What a request is hashed by: the client's address, a header field, a cookie, the path or a part of the query.

Only says what the key is; an empty key is none, and the policy leaves such a request to chance.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Container, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from balance.config.model import HashKey
from balance.http1.head import RequestFields

BETWEEN: Final = b","  # sessions; no cookie of ours has it in its value
MAX_COOKIES: Final = 100  # of one name that are looked at

KeyOf = Callable[[RequestFields, bytes, str], bytes]  # (fields, target, address of the client) -> key


def key_of(hash_key: HashKey) -> KeyOf:
    """How to find the key of a request."""
    return _KINDS[hash_key.kind](hash_key.name.encode("latin-1"))


@lru_cache(maxsize=4096)  # a keep-alive client asks again and again
def source_key(address: str) -> bytes:
    """One key for one client: an IPv4 address however it is written, the /64 of an IPv6 one, none for a Unix socket.

    Hosts change the lower half of an IPv6 address at will (RFC 8981); a network is given a /64 at least (RFC 6177).
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return b""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return ip.packed[:8]
        ip = ip.ipv4_mapped
    return ip.packed


def _by_source(name: bytes) -> KeyOf:
    return lambda fields, target, address: source_key(address)


def _by_header(name: bytes) -> KeyOf:
    return _remembered(b"header " + name.lower(), lambda fields: next(_values(fields.forward, name.lower() + b":"), b""))


def _remembered(note: bytes, search: Callable[[RequestFields], bytes]) -> KeyOf:
    """What `search` finds, searched for once in the same lines: keep-alive clients repeat them, and it costs 2 us."""

    def key(fields: RequestFields, target: bytes, address: str) -> bytes:
        found = fields.found
        if found is None:
            found = fields.found = {}
        try:
            return found[note]
        except KeyError:
            value = found[note] = search(fields)
            return value

    return key


def _by_cookie(name: bytes) -> KeyOf:
    values = _cookie_values(name)
    return _remembered(b"cookie " + name, lambda fields: next(values(fields), b""))


def session_note(name: str) -> bytes:
    """Under which fields remember in `found` which session their cookies name."""
    return b"session " + name.encode("latin-1")


def session_of(name: str, known: Container[bytes]) -> KeyOf:
    """How to find the session that the cookies of that name stand for: the one that is `known`.

    There may be several: of another path or domain, of a time before, of somebody who wants a session to end elsewhere
    (RFC 6265 section 5.4 says nothing of which comes first that a server could build on). Where more than one is known, all of
    them are the answer, with BETWEEN between them.
    """
    values = _cookie_values(name.encode("latin-1"))

    def search(fields: RequestFields) -> bytes:
        found = dict.fromkeys(value for value in islice(values(fields), MAX_COOKIES) if value in known)
        return BETWEEN.join(found)

    return _remembered(session_note(name), search)


def _cookie_values(name: bytes) -> Callable[[RequestFields], Iterator[bytes]]:
    """How to find the values of the cookies of that name, without the empty ones, in all Cookie lines."""
    value = re.compile(rb"(?:\A|;)[ \t]*%b=([^;]*)" % re.escape(name))

    def values(fields: RequestFields) -> Iterator[bytes]:
        for line in _values(fields.forward, b"cookie:"):
            for match in value.finditer(line):
                found = match[1].rstrip(b" \t")
                if found:
                    yield found

    return values


def _values(lines: bytes, name: bytes) -> Iterator[bytes]:
    """The values of the fields that begin with `name`, a lower-case name and its colon."""
    lower = b"\n" + lines.lower()  # so that each position in it is behind the LF before that line
    start = lower.find(b"\n" + name)
    while start >= 0:
        start += len(name)
        yield lines[start : lines.find(b"\r\n", start)].strip(b" \t")
        start = lower.find(b"\n" + name, start)


def _by_path(name: bytes) -> KeyOf:
    return lambda fields, target, address: target.partition(b"?")[0]


def _by_query(name: bytes) -> KeyOf:
    value = re.compile(rb"(?:\A|&)%b=([^&]*)" % re.escape(name))
    return lambda fields, target, address: _first(value, target.partition(b"?")[2])


def _first(pattern: re.Pattern[bytes], text: bytes) -> bytes:
    match = pattern.search(text)
    return match[1] if match is not None else b""


_KINDS: dict[str, Callable[[bytes], KeyOf]] = {
    "source-ip": _by_source,
    "header": _by_header,
    "cookie": _by_cookie,
    "path": _by_path,
    "query": _by_query,
}
