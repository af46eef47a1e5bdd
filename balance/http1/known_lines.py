"""Remembers field lines, so that of a head that was never seen only what is new is judged.

Of most heads a line or two differ from those before: a date, a cookie, an id. A line is *plain* when it is well formed and says
nothing to a proxy: it is forwarded as it came, and neither we nor llhttp read anything else otherwise because of it. So what a
head means is what its other lines, the *special* ones, mean together; see the readers.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from balance.http1.fields import (
    AUTHORIZATION,
    CONTENT_LENGTH,
    FORWARDING,
    MALFORMED,
    PLAIN,
    REQUEST_ID,
    TEXT,
    is_connection_auth,
    kind_of_name,
)

# Beside the kinds of fields:
UNJUDGED: Final = -3  # the head must be judged as a whole
A_LENGTH: Final = 100  # and above: a Content-Length of so much more, in the usual form

# Heads that are judged as a whole after one that had to be: so those that always must cost little more than that.
PAUSE: Final = 15

MAX_LINES: Final = 1024
MAX_LINE: Final = 256  # bytes of a line that is remembered
_MAX_SPECIAL: Final = 256  # lines
_MAX_NAMES: Final = 512
_MAX_NAME: Final = 64
_MAX_DIGITS: Final = 15
_ZERO: Final = ord("0")
_CHANGING: Final = frozenset((FORWARDING, REQUEST_ID))  # not worth remembering: another each time


class KnownLines:
    """The lines and names that readers of one kind have met.

    A table that is full begins anew: a plain line of a known name costs two calls to judge, less than any order of use would
    cost to keep. So peers that never repeat a line take little from others.
    """

    __slots__ = ("_meaningful", "_names", "kinds", "max_lines", "pause", "plain")

    def __init__(self, meaningful: Set[int], max_lines: int = MAX_LINES) -> None:
        """`meaningful`: the kinds of fields that say something about a message."""
        self._meaningful = frozenset(meaningful)
        self.max_lines = max_lines
        self._names: dict[bytes, int] = {}
        self.plain: set[bytes] = set()
        self.kinds: dict[bytes, int] = {}  # of special lines
        self.pause = 0  # heads that are to be judged as a whole

    def judge(self, line: bytes) -> int:
        """What a line, without its CRLF, is that stands in neither table: a kind, A_LENGTH and more, or UNJUDGED. PLAIN, 0, is
        the one that is false.

        Only plain lines and lengths are known to be well formed: others are judged by their names alone.
        """
        name, colon, value = line.partition(b":")
        if not colon:
            self.pause = PAUSE
            return UNJUDGED
        kind = self._names.get(name, UNJUDGED)
        if kind == UNJUDGED:
            self._learn(name)
            self.pause = PAUSE
            return UNJUDGED
        if kind > PLAIN:
            if kind == CONTENT_LENGTH:
                digits = value.lstrip(b" ")
                # No sign, no zero before it, nothing behind it: there is one way to read this.
                if digits.isdigit() and digits[0] != _ZERO and len(digits) <= _MAX_DIGITS:
                    kind = A_LENGTH + int(digits)
            if len(line) <= MAX_LINE and kind not in _CHANGING:
                if len(self.kinds) >= _MAX_SPECIAL:
                    self.kinds.clear()
                self.kinds[line] = kind
            return kind
        if line.translate(TEXT) != line or (kind == AUTHORIZATION and is_connection_auth(value)):
            self.pause = PAUSE
            return UNJUDGED
        if len(line) <= MAX_LINE:
            if len(self.plain) >= self.max_lines:
                self.plain.clear()
            self.plain.add(line)
        return PLAIN

    def _learn(self, name: bytes) -> None:
        """Remember a name for later heads."""
        kind = kind_of_name(name) if len(name) <= _MAX_NAME else MALFORMED
        if kind != MALFORMED:
            if len(self._names) >= _MAX_NAMES:
                self._names.clear()
            self._names[name] = kind if kind < PLAIN or kind in self._meaningful else PLAIN
