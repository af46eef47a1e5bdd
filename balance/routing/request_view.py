"""Looks up header fields, cookies and query parameters of one request for conditions. Parses what is asked for only.

Conditions see what backends see: neither fields that are not forwarded (hop-by-hop ones and those that Connection names) nor
X-Forwarded-* of peers that are not trusted. Header fields and cookies are looked up once for each block of identical lines.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from balance.http1.fields import field_values
from balance.http1.head import RequestFields
from balance.mypyc_attr import mypyc_attr

_NONE: Final[list[bytes]] = []


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestView:
    """The parts of one request by name. Of a repeated one, the singular methods give the first, the plural ones all."""

    __slots__ = ("_parameters", "fields", "is_trusted", "target")

    def __init__(self, fields: RequestFields, target: bytes, *, is_trusted: bool = False) -> None:
        """`is_trusted`: the peer is a trusted proxy, so that its X-Forwarded-*, X-Real-IP and Forwarded count."""
        self.fields = fields
        self.target = target  # as it came, while nobody sets another one
        self.is_trusted = is_trusted
        self._parameters: list[tuple[bytes, bytes]] | None = None

    def ask_for(self, target: bytes) -> None:
        """Look query parameters up in this target from now on."""
        self.target = target
        self._parameters = None

    def header(self, name: bytes) -> bytes | None:
        """The value of the first field of this lower-case name."""
        found = self.headers(name)
        return found[0] if found else None

    def headers(self, name: bytes) -> list[bytes]:
        """The values of all field lines of this lower-case name, in order. A list within a line is not split."""
        fields = self.fields
        if name == b"host":
            return [fields.host] if fields.host is not None else _NONE
        if self.is_trusted and fields.forwarding:
            forwarding = [value for known, value in fields.forwarding if known == name]
            if forwarding:
                return forwarding
        values = fields.values
        if values is None:
            values = fields.values = {}
        found = values.get(name)
        if found is None:
            found = values[name] = list(field_values(fields.forward, name))
        return found

    def cookie(self, name: bytes) -> bytes | None:
        """The value of the first cookie of this name."""
        found = self.cookies(name)
        return found[0] if found else None

    def cookies(self, name: bytes) -> list[bytes]:
        """The values of all cookies of this name, in order, as sent (RFC 6265 section 5.4: pairs between semicolons)."""
        values = self.fields.values
        if values is None:
            values = self.fields.values = {}
        note = b"; " + name  # not the name of a field
        found = values.get(note)
        if found is None:
            found = values[note] = [value for known, value in self._cookie_pairs() if known == name]
        return found

    def parameter(self, name: bytes) -> bytes | None:
        """The decoded value of the first query parameter of this name; b"" for one without `=`."""
        for known, value in self._query_pairs():
            if known == name:
                return value
        return None

    def parameters(self, name: bytes) -> list[bytes]:
        """The decoded values of all query parameters of this name, in order."""
        return [value for known, value in self._query_pairs() if known == name]

    def _cookie_pairs(self) -> list[tuple[bytes, bytes]]:
        pairs = []
        for line in self.headers(b"cookie"):
            for pair in line.split(b";"):
                name, equals, value = pair.partition(b"=")
                if equals:
                    pairs.append((name.strip(b" \t"), value.strip(b" \t")))
        return pairs

    def _query_pairs(self) -> list[tuple[bytes, bytes]]:
        pairs = self._parameters
        if pairs is None:
            pairs = self._parameters = []
            query = self.target.partition(b"?")[2]
            for pair in query.split(b"&") if query else ():
                name, _, value = pair.partition(b"=")
                pairs.append((_decoded(name), _decoded(value)))
        return pairs


def _decoded(text: bytes) -> bytes:
    """As application/x-www-form-urlencoded is read (WHATWG URL section 5.1); a `%` that begins no escape stays."""
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text
