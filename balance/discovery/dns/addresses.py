"""The addresses of one name, IPv4 and IPv6 side by side: a family that fails neither empties nor delays the other.

Resolvers that answer for one family and fail with the other are common (RFC 4074 has a list). Which family could not be asked
is said, so that its endpoints of before stay (`Answer.unasked`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from balance.discovery.answer import SourceFailure
from balance.discovery.dns.lookup import Lookup, Status, failed

NOT_YET: Final = failed("")  # stands for the answer of a family that is not there yet when the other one is


@dataclass(frozen=True, slots=True)
class Addresses:
    """What was found: none where it is said that there are none."""

    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    ttl_s: int | None = None
    unasked: frozenset[str] = frozenset()  # A or AAAA
    partial: tuple[str, ...] = ()  # what is not in it, and why

    @property
    def families(self) -> tuple[tuple[str, str], ...]:
        """Each address, and the family that it is from."""
        return (*((address, "A") for address in self.a), *((address, "AAAA") for address in self.aaaa))


def merged(a: Lookup, aaaa: Lookup) -> Addresses | SourceFailure:
    """What both answers come to; a failure where they neither have an address nor deny that there are any."""
    answers = {"A": a, "AAAA": aaaa}
    partial = tuple(f"{family}: {each.words}" for family, each in answers.items() if each.words)
    unasked = frozenset(family for family, each in answers.items() if each.is_failed)
    found = [each.ttl_s for each in answers.values() if each.status is Status.FOUND]
    if not found and unasked and not (len(unasked) == 1 and _is_denied(a)):
        return SourceFailure("; ".join(partial))
    return Addresses(_texts(a), _texts(aaaa), min(found, default=None), unasked, partial)


def _is_denied(a: Lookup) -> bool:
    """NXDOMAIN is said of a name, whatever the type (RFC 2308). From the question for AAAA it proves nothing: servers that know
    only IPv4 are known to say so of names that exist (RFC 4074 section 4.2).
    """
    return a.status is Status.NO_NAME


def _texts(lookup: Lookup) -> tuple[str, ...]:
    return tuple(value for value in lookup.values if isinstance(value, str))
