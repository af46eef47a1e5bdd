"""Fields that say who was found to ask: what the client sent under their names never reaches a backend.

CGI, WSGI and their kin make X-User, X_User and X.User one variable, so all spellings are taken out.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final

from balance.http1.head import RequestFields

_OTHER: Final = bytes(byte for byte in range(256) if not chr(byte).isascii() or not chr(byte).isalnum())
_FOLDED: Final = bytes.maketrans(_OTHER + bytes(range(65, 91)), b"-" * len(_OTHER) + bytes(range(97, 123)))


def folded(name: bytes) -> bytes:
    """The name as all of its spellings have it."""
    return name.translate(_FOLDED)


def spellings(names: Iterable[str]) -> frozenset[bytes]:
    return frozenset(folded(name.encode()) for name in names)


def without_spellings(lines: bytes, names: Set[bytes]) -> bytes:
    """The field lines without those whose folded names are in `names`."""
    return b"".join([line for line in lines.splitlines(True) if folded(line.partition(b":")[0]) not in names])


def identified(fields: RequestFields, names: Set[bytes], added: bytes) -> RequestFields:
    """A copy in which nobody but us has fields of these folded names; `added` are our lines."""
    return fields.with_lines(without_spellings(fields.forward, names) + added)
