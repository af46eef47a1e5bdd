"""Which media types are compressed: `text/html`, or patterns with `*` for any characters."""

from __future__ import annotations

from typing import Final

EVENT_STREAM: Final = b"text/event-stream"

_CACHE_SIZE: Final = 64
_CACHE_MAX_BYTES: Final = 128


class MediaTypes:
    """The types of one route. Looked up by the value of Content-Type, of which a site has few."""

    __slots__ = ("_cache", "_exact", "_patterns")

    def __init__(self, types: tuple[str, ...]) -> None:
        names = [name.strip().lower().encode("latin-1", "replace") for name in types]
        self._exact = frozenset(name for name in names if b"*" not in name)
        self._patterns = [name.split(b"*") for name in names if b"*" in name]
        self._cache: dict[bytes, bool] = {}

    def has(self, content_type: bytes) -> bool:
        """Whether a reply with this Content-Type is compressed."""
        known = self._cache.get(content_type)
        if known is None:
            known = self._has(content_type.partition(b";")[0].strip(b" \t").lower())
            if len(content_type) <= _CACHE_MAX_BYTES:
                if len(self._cache) >= _CACHE_SIZE:
                    self._cache.clear()
                self._cache[content_type] = known
        return known

    def _has(self, name: bytes) -> bool:
        if name in self._exact:
            return True
        # Event streams are small and live for hours, with an encoder each; their readers wait for each event. So `text/*` is
        # not enough: who wants them compressed names them.
        return b"/" in name and name != EVENT_STREAM and any(_matches(name, pieces) for pieces in self._patterns)


def _matches(name: bytes, pieces: list[bytes]) -> bool:
    """Whether `name` is made of these pieces, in order, with anything between them. Linear, unlike a regular expression."""
    first, last = pieces[0], pieces[-1]
    end = len(name) - len(last)
    if not name.startswith(first) or not name.endswith(last) or end < len(first):
        return False
    position = len(first)
    for piece in pieces[1:-1]:
        position = name.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True
