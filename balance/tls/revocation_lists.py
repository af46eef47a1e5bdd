"""Certificate revocation lists as operators give them: whose they are, and until when they hold (RFC 5280 section 5.1).

Who is revoked is decided by OpenSSL. It refuses every client of an authority whose list is missing or has ended, so a file of
lists is compared with the authorities here, when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from balance.tls.der import GENERALIZED_TIME, UTC_TIME, first, items, time_of
from balance.tls.distinguished_name import name_text, same_name
from balance.tls.settings import PemFile
from balance.tls.x509 import CertificateInfo, pem_blocks

KIND: Final = "X509 CRL"
_AUTHORITY_KEY: Final = bytes.fromhex("551d23")
_DISTRIBUTION_POINT: Final = bytes.fromhex("551d1c")
_DELTA: Final = bytes.fromhex("551d1b")


@dataclass(frozen=True, slots=True)
class RevocationList:
    """Times are seconds since the epoch; `next_update` 0: the list says no end."""

    issuer: bytes
    this_update: float
    next_update: float
    scope: tuple[bytes, ...] = ()  # by which OpenSSL tells lists of one issuer apart: its key, the part of its certificates
    is_delta: bool = False


def parse_revocation_list(der: bytes) -> RevocationList:
    """ValueError when it is none."""
    try:
        parts = items(first(first(der)))
        has_version = next(parts)[0] == 0x02  # version 1 has none
        if has_version:
            next(parts)  # the algorithm of the signature
        _, issuer = next(parts)
        this_update = time_of(*next(parts))
        next_update = 0.0
        extensions: dict[bytes, bytes] = {}
        for tag, content in parts:
            if tag in (UTC_TIME, GENERALIZED_TIME):
                next_update = time_of(tag, content)
            elif tag == 0xA0:
                extensions = dict(_extensions(content))
        scope = tuple(extensions.get(kind, b"") for kind in (_AUTHORITY_KEY, _DISTRIBUTION_POINT))
        return RevocationList(issuer, this_update, next_update, scope, _DELTA in extensions)
    except (ValueError, IndexError, StopIteration):
        raise ValueError("a revocation list in it can't be read") from None


def _extensions(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    for _, extension in items(first(content)):
        parts = list(items(extension))
        yield parts[0][1], parts[-1][1]


@lru_cache(maxsize=64)
def revocation_lists(file: PemFile) -> tuple[RevocationList, ...]:
    """Those in a file; ValueError when there is none, or one that can't be read."""
    found = tuple(parse_revocation_list(der) for der in pem_blocks(file.text, KIND))
    if not found:
        raise ValueError("it has no revocation list in PEM format (BEGIN X509 CRL)")
    return found


def without_list(lists: Sequence[RevocationList], authorities: Sequence[CertificateInfo]) -> list[str]:
    """The authorities that none of the lists is of."""
    return [
        name_text(each.subject) for each in authorities if not any(same_name(each.subject, known.issuer) for known in lists)
    ]


def ignored(lists: Sequence[RevocationList]) -> str:
    """What of the lists OpenSSL would leave aside without a word, so that who is revoked may enter; "" for nothing."""
    known: set[tuple[str, tuple[bytes, ...]]] = set()
    for each in lists:
        issuer = name_text(each.issuer)
        if each.is_delta:
            return f"the list of {issuer!r} has only what has changed (a delta); it needs to be complete"
        key = issuer.casefold(), each.scope
        if key in known:
            return f"it has two lists of {issuer!r}, of which only the newer one would count; leave that one"
        known.add(key)
    return ""


def ends_at(file: PemFile) -> float:
    """When the first of the lists in a file ends, in seconds since the epoch; 0 for never."""
    return min((each.next_update for each in revocation_lists(file) if each.next_update), default=0.0)
