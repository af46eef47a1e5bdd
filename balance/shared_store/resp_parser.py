"""Reads Redis's replies (RESP2) within bounds: what no answer to us can be ends the connection, and what is huge is not kept.

redis-py's own parsers take what a peer announces: a value of 512 MB is held whole, nested lists end in a RecursionError, and a
number that is none in a ValueError. Errors come with Redis's own words, which say what they mean (`failures`).
"""

from __future__ import annotations

from typing import Any, Final

from redis import exceptions

MAX_LINE: Final = 8192  # bytes; errors are the longest
MAX_BULK: Final = 65536  # bytes of one value; a longer one is somebody else's: read past, and taken as empty
MAX_LIST: Final = 64
MAX_DEPTH: Final = 4
READ: Final = 65536

_NUMBER_DIGITS: Final = 20  # of 64 bits, with the sign
_WRONG_AUTH: Final = "ERR wrong number of arguments for 'auth' command"


class RespParser:
    """A `parser_class` of redis-py's connections."""

    def __init__(self, socket_read_size: int) -> None:
        self._stream: Any = None
        self._data = bytearray()

    def on_connect(self, connection: Any) -> None:
        """redis-py has connected."""
        self._stream = connection._reader
        if self._stream is None:
            raise exceptions.ConnectionError("closed")
        self._data.clear()

    def on_disconnect(self) -> None:
        """redis-py has disconnected."""
        self._stream = None

    @property
    def has_more(self) -> bool:
        """Whether bytes are here that nobody has read. Between batches they are answers to nothing."""
        stream = self._stream
        return bool(self._data) or (stream is not None and bool(stream._buffer))

    async def read_response(self, disable_decoding: bool = False) -> Any:
        """The next reply: bytes, an int, None, a list of these, or a ResponseError that is returned."""
        return await self._reply(0)

    async def _reply(self, depth: int) -> Any:
        line = await self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            text = rest.decode("utf-8", "replace")
            if text.startswith(_WRONG_AUTH):
                return exceptions.AuthenticationWrongNumberOfArgsError(text)  # redis-py then tries without the user
            return exceptions.ResponseError(text)
        if kind == b":":
            return _number(rest)
        if kind == b"$":
            length = _number(rest)
            return None if length == -1 else await self._bulk(length)
        if kind == b"*":
            length = _number(rest)
            if length == -1:
                return None
            if not 0 <= length <= MAX_LIST or depth >= MAX_DEPTH:
                raise exceptions.InvalidResponse("a list too large")
            return [await self._reply(depth + 1) for _ in range(length)]
        raise exceptions.InvalidResponse("no RESP")

    async def _line(self) -> bytes:
        data = self._data
        seen = 0
        while True:
            end = data.find(b"\r\n", seen)
            if end >= 0:
                break
            seen = max(0, len(data) - 1)
            if len(data) > MAX_LINE:
                raise exceptions.InvalidResponse("a line without end")
            await self._more()
        if end > MAX_LINE:
            raise exceptions.InvalidResponse("a line too long")
        line = bytes(data[:end])
        del data[: end + 2]
        return line

    async def _bulk(self, length: int) -> bytes:
        if length < 0:
            raise exceptions.InvalidResponse("a length below 0")
        data = self._data
        left = length
        if length > MAX_BULK:
            while len(data) < left:
                left -= len(data)
                data.clear()
                await self._more()
        while len(data) < left + 2:
            await self._more()
        if data[left : left + 2] != b"\r\n":
            raise exceptions.InvalidResponse("a value longer than it says")
        value = b"" if length > MAX_BULK else bytes(data[:left])
        del data[: left + 2]
        return value

    async def _more(self) -> None:
        stream = self._stream
        read = b"" if stream is None else await stream.read(READ)
        if not read:
            raise exceptions.ConnectionError("closed")
        self._data += read


def _number(text: bytes) -> int:
    if len(text) > _NUMBER_DIGITS or not text.removeprefix(b"-").isdigit():
        raise exceptions.InvalidResponse("no number")
    return int(text)
