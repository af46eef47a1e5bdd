"""Extracts the hash key of a request: client address, header field, cookie, path or query parameter.

An empty key is no key: the policy then chooses at random.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Container, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from balance.config.model import HashKey
from balance.http1.fields import field_values
from balance.http1.head import RequestFields

SESSION_SEPARATOR: Final = b","  # not in any session cookie's value
MAX_COOKIES: Final = 100  # of the same name

KeyExtractor = Callable[[RequestFields, bytes, str], bytes]  # (fields, target, address of the client) -> key


def key_extractor(hash_key: HashKey) -> KeyExtractor:
    """The function that extracts the key."""
    return _KINDS[hash_key.kind](hash_key.name.encode("latin-1"))


@lru_cache(maxsize=4096)  # for clients with several requests
def source_key(address: str) -> bytes:
    """The key for a client address: an IPv4 address (also IPv4-mapped), the /64 of an IPv6 address, b"" for a Unix socket.

    Hosts change the lower half of their IPv6 address (RFC 8981); a site has at least a /64 (RFC 6177).
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


def _by_source(name: bytes) -> KeyExtractor:
    return lambda fields, target, address: source_key(address)


def _by_header(name: bytes) -> KeyExtractor:
    return _cached(b"header " + name.lower(), lambda fields: next(field_values(fields.forward, name.lower()), b""))


def _cached(note: bytes, search: Callable[[RequestFields], bytes]) -> KeyExtractor:
    """Caches the result of `search` in the RequestFields, which keep-alive clients' requests share; it takes 2 us."""

    def key(fields: RequestFields, target: bytes, address: str) -> bytes:
        found = fields.cache
        if found is None:
            found = fields.cache = {}
        try:
            return found[note]
        except KeyError:
            value = found[note] = search(fields)
            return value

    return key


def _by_cookie(name: bytes) -> KeyExtractor:
    values = _cookie_values(name)
    return _cached(b"cookie " + name, lambda fields: next(values(fields), b""))


def session_cache_key(name: str) -> bytes:
    """The key in RequestFields.cache for the session of a cookie name."""
    return b"session " + name.encode("latin-1")


def session_extractor(name: str, known: Container[bytes]) -> KeyExtractor:
    """The function that extracts the `known` session token from the cookies of that name.

    There may be several cookies of one name: of other paths or domains, old or forged ones (their order is not reliable, RFC
    6265 section 5.4). Several known tokens are all returned, joined by SESSION_SEPARATOR.
    """
    values = _cookie_values(name.encode("latin-1"))

    def search(fields: RequestFields) -> bytes:
        found = dict.fromkeys(value for value in islice(values(fields), MAX_COOKIES) if value in known)
        return SESSION_SEPARATOR.join(found)

    return _cached(session_cache_key(name), search)


def _cookie_values(name: bytes) -> Callable[[RequestFields], Iterator[bytes]]:
    """The function that yields the non-empty values of the cookies of that name in all Cookie fields."""
    value = re.compile(rb"(?:\A|;)[ \t]*%b=([^;]*)" % re.escape(name))

    def values(fields: RequestFields) -> Iterator[bytes]:
        for line in field_values(fields.forward, b"cookie"):
            for match in value.finditer(line):
                found = match[1].rstrip(b" \t")
                if found:
                    yield found

    return values


def _by_path(name: bytes) -> KeyExtractor:
    return lambda fields, target, address: target.partition(b"?")[0]


def _by_query(name: bytes) -> KeyExtractor:
    value = re.compile(rb"(?:\A|&)%b=([^&]*)" % re.escape(name))
    return lambda fields, target, address: _first(value, target.partition(b"?")[2])


def _first(pattern: re.Pattern[bytes], text: bytes) -> bytes:
    match = pattern.search(text)
    return match[1] if match is not None else b""


_KINDS: Final[dict[str, Callable[[bytes], KeyExtractor]]] = {
    "source-ip": _by_source,
    "header": _by_header,
    "cookie": _by_cookie,
    "path": _by_path,
    "query": _by_query,
}
