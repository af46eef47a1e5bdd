"""The text of a file with a list of addresses: one address, network or range a line; `#` and `;` begin a comment.

Public block lists (Spamhaus DROP, FireHOL, blocklist.de) have this form.
"""

from __future__ import annotations

import re
from typing import Final

from balance.access_lists.address_range import AddressRange, parse_range
from balance.access_lists.address_set import AddressSet

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_ENTRIES: Final = 1_000_000

_COMMENT: Final = re.compile(r"[#;].*")


class ListFileError(Exception):
    """The text is no list: the first wrong line, and why. `line` is 0 for the file as a whole."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


def parse_list(content: bytes) -> AddressSet:
    """Parse a whole file. ListFileError at the first line that is wrong: half a list would be worse than the one before."""
    if len(content) > MAX_FILE_BYTES:
        raise ListFileError(0, f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MB")
    ranges: list[AddressRange] = []
    for number, line in enumerate(content.decode("utf-8-sig", "surrogateescape").split("\n"), 1):
        entry = _COMMENT.sub("", line).strip(" \t\r")
        if not entry:
            continue
        try:
            ranges.append(parse_range(entry))
        except ValueError as error:
            raise ListFileError(number, str(error)) from None
        if len(ranges) > MAX_ENTRIES:
            raise ListFileError(number, f"is beyond the {MAX_ENTRIES} entries that a list may have")
    return AddressSet(ranges)
