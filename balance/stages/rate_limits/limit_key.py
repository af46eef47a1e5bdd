"""What a request is counted by. Who leaves a field or a claim out is counted by his address: nobody escapes by saying less."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from balance.http1.hash_key import source_key
from balance.routing.path_readings import normalized_path
from balance.stages.notes import note
from balance.stages.request_context import RequestContext

CLAIM: Final = "jwt:"
MAX_PATH: Final = 256  # bytes; longer ones are not remembered
_FIELDS: Final = ("header", "cookie")  # which the field lines tell

Part = Callable[[RequestContext], bytes]  # b"" where the request does not have it


def is_of_claims(keys: tuple[str, ...]) -> bool:
    """Whether it takes a verified token to tell the key."""
    return any(key.startswith(CLAIM) for key in keys)


def is_of_lines(keys: tuple[str, ...], context: RequestContext) -> bool:
    """Whether all requests with these field lines, of clients that are not trusted, have the same key."""
    if keys == ("route",):
        return True
    kind, _, name = keys[0].partition(":")
    if len(keys) > 1 or kind not in _FIELDS:
        return False
    return bool(context.header(name.lower().encode()) if kind == "header" else context.cookie(name.encode()))


def key_of(keys: tuple[str, ...]) -> Part:
    """The function that tells it. Different requests have different keys, whatever clients send."""
    if keys == ("client-ip",):
        return lambda context: source_key(context.client)
    if keys == ("route",):
        return lambda context: b"=" + context.route.encode()
    if keys == ("path",):
        return _path
    if len(keys) == 1:
        return _or_address(_part(keys[0]), keys[0].partition(":")[0] in _FIELDS)
    parts = [_part(key) for key in keys]

    def key(context: RequestContext) -> bytes:
        found = [part(context) for part in parts]
        if all(found):
            return b"".join([b"%d=%b" % (len(each), each) for each in found])
        address = source_key(context.client)
        return b"".join([b"%d=%b" % (len(each), each) if each else b"@" + address for each in found])

    return key


def _or_address(part: Part, is_of_lines: bool) -> Part:
    """`is_of_lines`: requests with the same field lines have the same part; keep-alive clients send the same ones each time."""

    def key(context: RequestContext) -> bytes:
        found = part(context)
        return b"=" + found if found else b"@" + source_key(context.client)

    def remembered(context: RequestContext) -> bytes:
        fields = context.fields
        notes = fields.notes
        known: bytes | None = None if notes is None or context.is_trusted else notes.get(remembered)
        if known is None:
            known = key(context)
            if known.startswith(b"=") and not context.is_trusted:  # trusted proxies tell more than the lines that go on
                note(fields, remembered, known)
        return known

    return remembered if is_of_lines else key


def _part(key: str) -> Part:
    kind, _, named = key.partition(":")
    name = named.encode()
    if kind == "header":
        name = name.lower()
        return lambda context: context.header(name) or b""
    if kind == "cookie":
        return lambda context: context.cookie(name) or b""
    if kind == "query":
        return lambda context: context.parameter(name) or b""
    if kind == "jwt":
        return lambda context: b"" if context.identity is None else context.identity.claims.get(named, b"")
    if kind == "path":
        return _path
    if kind == "route":
        return lambda context: context.route.encode()
    return lambda context: source_key(context.client)


def _path(context: RequestContext) -> bytes:
    """In one spelling, or each of /a, //a and /%61 had a limit of its own."""
    path = context.path
    return _known_path(path) if len(path) <= MAX_PATH else normalized_path(path)


_known_path = lru_cache(maxsize=2048)(normalized_path)
