"""A second reader of requests for the tests, by the grammar of RFC 9112 alone: no memory, no parser, nothing of Balance's.

What it can't read in exactly one way it does not read. Whatever reaches a backend must be among what it reads.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_HEAD = re.compile(rb"(%b) ([!-~]+) HTTP/1\.([01])\r\n((?:%b:%b\r\n)*)\r\n" % (_TOKEN, _TOKEN, _TEXT))
_FIELD = re.compile(rb"(%b):[\t ]*(%b)\r\n" % (_TOKEN, _TEXT))
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)(?:;%b)?\r\n" % _TEXT)
_TRAILERS = re.compile(rb"(?:%b:%b\r\n)*\r\n" % (_TOKEN, _TEXT))


class Head(NamedTuple):
    method: bytes
    target: bytes  # in origin-form
    minor: int
    is_chunked: bool
    length: int
    fields: tuple[tuple[bytes, bytes], ...]  # lower-case name, value
    size: int  # bytes of the head


class Message(NamedTuple):
    method: bytes
    target: bytes
    body: bytes


def read_head(data: bytes) -> Head | None:
    """The head that `data` begins with, if it is one and says in exactly one way where its body ends."""
    match = _HEAD.match(data)
    if match is None:
        return None
    method, target, minor, lines = match[1], match[2], int(match[3]), match[4]
    fields = tuple((name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(lines))
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    hosts = [value for name, value in fields if name == b"host"]
    if len(lengths) + len(codings) > 1 or (codings and (minor == 0 or codings[0].lower() != b"chunked")):
        return None
    if (lengths and not re.fullmatch(rb"[0-9]+", lengths[0])) or len(hosts) > 1 or (minor and not hosts):
        return None
    absolute = re.fullmatch(rb"(?i:https?)://[^/?#]+(.*)", target)
    if absolute is not None:
        path = absolute[1]
        target = path if path.startswith(b"/") else b"*" if method == b"OPTIONS" and not path else b"/" + path
    return Head(method, target, minor, bool(codings), int(lengths[0]) if lengths else 0, fields, match.end())


def read_chunks(data: bytes) -> tuple[bytes, int] | None:
    """The content of the chunked body that `data` begins with, and how many bytes it takes."""
    content, position = b"", 0
    while match := _CHUNK.match(data, position):
        size = int(match[1], 16)
        position = match.end()
        if not size:
            end = _TRAILERS.match(data, position)
            return (content, end.end()) if end else None
        content += data[position : position + size]
        position += size + 2
        if data[position - 2 : position] != b"\r\n":
            return None
    return None


def read_message(data: bytes) -> tuple[Head, bytes, int] | None:
    """The whole request that `data` begins with: its head, its content, and how many bytes it takes."""
    head = read_head(data)
    if head is None:
        return None
    rest = data[head.size :]
    if head.is_chunked:
        chunks = read_chunks(rest)
        return None if chunks is None else (head, chunks[0], head.size + chunks[1])
    if len(rest) < head.length:
        return None
    return head, rest[: head.length], head.size + head.length


def read_messages(data: bytes) -> tuple[list[Message], bytes]:
    """The complete requests of a connection, in order, and what is left when no other can be read."""
    messages = []
    while True:
        data = re.sub(rb"\A(?:\r\n)+", b"", data)
        read = read_message(data)
        if read is None:
            return messages, data
        head, body, size = read
        messages.append(Message(head.method, head.target, body))
        data = data[size:]
