"""Gives a backend the entity tag that it made, when its client sends the weakened one back (RFC 9110 section 13.1.2).

If-None-Match compares weakly, so `W/"x"` and `"x"` are the same there and a backend may be given either. Some compare bytes:
they know only the form that they sent. Which form that is, is learned from the replies of the route:

- only strong tags, which we weaken: the strong form goes out, alone, as some backends compare the whole value;
- only weak ones, which we leave alone: nothing is changed (Rack makes weak tags and compares their bytes);
- both: both forms go out, in a list.

Until the first tag is weakened nothing is changed. A backend that compares correctly sees no difference in any of these.
"""

from __future__ import annotations

import re
from typing import Final

from balance.compression.reply_fields import WEAK

_FIELD: Final = re.compile(rb"(?im)^(if-none-match:[ \t]*)([^\r\n]*)")
MAX_TAGS: Final = 1024  # bytes of a request; clients name the few that they store, and 15 KB would take 20 ms
_TAG: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class TagForms:
    """The forms of entity tags that the backends of one route use."""

    __slots__ = ("are_strong", "are_weak")

    def __init__(self) -> None:
        self.are_strong = False  # one was seen, so that clients have weakened ones
        self.are_weak = False

    def seen(self, tag: bytes) -> None:
        """A backend's reply has this tag."""
        if tag.startswith(WEAK):
            self.are_weak = True
        elif tag:
            self.are_strong = True

    def restore(self, forward: bytes) -> bytes:
        """The field lines of a request with the tags that its backend made; unchanged where the client names too many."""
        if sum(len(value) for _, value in _FIELD.findall(forward)) > MAX_TAGS:
            return forward
        return _FIELD.sub(self._restored, forward)

    def _restored(self, match: re.Match[bytes]) -> bytes:
        return match[1] + _TAG.sub(_both if self.are_weak else rb"\2", match[2])


def _both(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1] is None else b"%b, %b" % (match[0], match[2])


def only_weak(values: list[bytes], tag: bytes) -> bool:
    """Whether the client named this strong tag in its weak form only: what it has was compressed."""
    named = b",".join(values)
    weak = WEAK + tag
    return weak in named and tag not in named.replace(weak, b"")
