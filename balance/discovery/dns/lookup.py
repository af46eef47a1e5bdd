"""What one question to a resolver came to: records, the word that there are none, or a failure (RFC 1034, RFC 2308).

Only NXDOMAIN and NODATA say that there is nobody. Everything else that has no record in it is a failure: SERVFAIL, REFUSED, no
answer, an answer to another question, a chain of CNAMEs that leads back to itself.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_TTL: Final = 2**31 - 1  # RFC 2181 section 8: a larger one counts as 0


class RecordType(enum.IntEnum):
    """The types that are asked for or followed; the numbers are IANA's."""

    A = 1
    CNAME = 5
    AAAA = 28
    SRV = 33


@dataclass(frozen=True, slots=True)
class Service:
    """What an SRV record says (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an answer. `data` is an address, the name that a CNAME leads to, or a Service."""

    name: str
    type: int
    ttl: int
    data: str | Service


class Status(enum.Enum):
    FOUND = "found"
    NO_RECORDS = "no records of this type"  # NODATA
    NO_NAME = "no such name"  # NXDOMAIN
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Lookup:
    """The result of one question. `words` say why it failed, or what of it can't be used."""

    status: Status
    values: tuple[str | Service, ...] = ()
    ttl_s: int = 0
    words: str = ""

    @property
    def is_failed(self) -> bool:
        return self.status is Status.FAILED


NO_NAME: Final = Lookup(Status.NO_NAME)
NO_RECORDS: Final = Lookup(Status.NO_RECORDS)


def failed(words: str) -> Lookup:
    return Lookup(Status.FAILED, words=words)


def canonical(name: str) -> str:
    """A name as names are compared: without its final dot, in lower case."""
    return name.removesuffix(".").lower()


def read_answer(question: str, kind: RecordType, records: Sequence[Record]) -> Lookup:
    """What the answer section says about `question`, along its chain of CNAMEs.

    Records of other names are left out: nobody has asked for them. An answer in which nothing is about the question says
    nothing, least of all that there is nobody.
    """
    name = canonical(question)
    by_name: dict[str, list[Record]] = {}
    aliases: dict[str, Record] = {}
    for record in records:
        if record.type == RecordType.CNAME:
            aliases[canonical(record.name)] = record
        elif record.type == kind:
            by_name.setdefault(canonical(record.name), []).append(record)
    seen = {name}
    ttl = MAX_TTL
    while True:
        if found := by_name.get(name):
            ttl = min([ttl, *(_ttl(record) for record in found)])
            return _usable(list(dict.fromkeys(record.data for record in found)), ttl)
        alias = aliases.get(name)
        if alias is None:
            return NO_RECORDS if len(seen) > 1 else failed("an answer that is not about the question")
        name = canonical(str(alias.data))
        if name in seen:
            return failed(f"its CNAMEs lead in a circle, back to {name}")
        seen.add(name)
        ttl = min(ttl, _ttl(alias))


def _ttl(record: Record) -> int:
    return record.ttl if record.ttl <= MAX_TTL else 0


def _usable(values: Sequence[str | Service], ttl: int) -> Lookup:
    wrong = [why for value in values if (why := _unusable(value))]
    if len(wrong) == len(values) and not _is_refusal(values):
        return failed(f"nothing but {_first(wrong)}")
    good = tuple(_normal(value) for value in values if not _unusable(value))
    return Lookup(Status.FOUND, good, ttl, _first(wrong)) if good else Lookup(Status.NO_RECORDS, (), ttl)


def _first(wrong: Sequence[str]) -> str:
    return wrong[0] + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "") if wrong else ""


def _is_refusal(values: Iterable[str | Service]) -> bool:
    """One SRV record whose target is the root: the service is decidedly not there (RFC 2782)."""
    return all(isinstance(value, Service) and not canonical(value.target) for value in values)


def _unusable(value: str | Service) -> str:
    """Why nobody can be connected to by this; "" where somebody can.

    What filters answer for a name that they block, 0.0.0.0, is this machine itself to connect(2).
    """
    if isinstance(value, Service):
        if not canonical(value.target):
            return "an SRV record without a target"
        return "" if value.port else f"an SRV record for {value.target} with port 0"
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return "an address that is none"
    if address.is_unspecified or address.is_multicast or value == "255.255.255.255":
        return f"{address}, which is no server's address"
    if address.version == 6 and address.is_link_local:
        return f"{address}, which leads nowhere without an interface"
    return ""


def _normal(value: str | Service) -> str | Service:
    return value if isinstance(value, Service) else str(ipaddress.ip_address(value))
