"""Asks resolvers for records, for the length of one look at a pool; the library is aiodns, which is c-ares.

Each look has a c-ares channel of its own (1.5 ms). One that lives on would answer from its cache for the whole TTL, whatever
`refresh` says, would not notice a new /etc/resolv.conf, and could stay broken (envoy#4543). c-ares sees to ids, ports and what
matches them, to EDNS, and to TCP after a cut answer; we do the search list and CNAMEs, since it says too little of either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import aiodns
import pycares
from pycares import errno

from balance.discovery.dns.lookup import NO_NAME, NO_RECORDS, Lookup, Record, RecordType, Service, failed, read_answer

# Where the user's inotify instances are used up aiodns says so each time, and goes on well without: we read resolv.conf.
logging.getLogger("aiodns").setLevel(logging.ERROR)

# Nobody waits for these answers, so patience costs nothing; an answer that comes after it is lost to c-ares (envoy#42836).
FIRST_TIMEOUT_S: Final = 3.0  # then the next resolver is asked, in the second round after up to twice that
TRIES: Final = 2
QUESTION_LIMIT_S: Final = 10.0
LOOK_LIMIT_S: Final = 20.0  # a look with a thousand targets, of which nobody answers
MAX_AT_ONCE: Final = 64  # what BIND, unbound and CoreDNS take from one client without dropping any

# Neither search domains nor /etc/hosts nor $HOSTALIASES: the names that are asked for are complete.
_FLAGS: Final = pycares.ARES_FLAG_EDNS | pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOALIASES
NO_ANSWER: Final = "the resolver does not answer"
_WORDS: Final = {
    errno.ARES_EFORMERR: "FORMERR: the resolver did not understand the question",
    errno.ARES_ESERVFAIL: "SERVFAIL: the resolver could not find out",
    errno.ARES_ENOTIMP: "NOTIMP: the resolver does not answer such questions",
    errno.ARES_EREFUSED: "REFUSED by the resolver",
    errno.ARES_EBADRESP: "an answer that is no DNS message, or is cut",
    errno.ARES_ECONNREFUSED: NO_ANSWER,  # c-ares says now this, now that, where nobody listens
    errno.ARES_ETIMEOUT: NO_ANSWER,
    errno.ARES_EBADNAME: "not a name that can be asked for",
}


class DnsClient:
    """Asks the `servers` in their order: the next one when one fails or is silent. close() when done."""

    __slots__ = ("_ends_at", "_limit", "_loop", "_resolver")

    def __init__(self, servers: Sequence[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + LOOK_LIMIT_S
        self._limit = asyncio.Semaphore(MAX_AT_ONCE)
        # rotate: two resolvers that are not of one mind for a moment would have the pool change with every look.
        self._resolver = aiodns.DNSResolver(
            servers,
            self._loop,
            timeout=FIRST_TIMEOUT_S,
            tries=TRIES,
            flags=_FLAGS,
            lookups="b",
            rotate=False,
            resolvconf_path="/dev/null",
        )

    async def ask(self, name: str, kind: RecordType) -> Lookup:
        """Never raises but to be cancelled."""
        left = self._ends_at - self._loop.time()
        try:
            async with asyncio.timeout(min(QUESTION_LIMIT_S, max(left, 0.0))), self._limit:
                result = await self._resolver.query_dns(name, kind.name)
        except TimeoutError:
            return failed(NO_ANSWER)
        except aiodns.error.DNSError as error:
            return _denial_or_failure(error.args[0] if error.args else 0)
        except (ValueError, RuntimeError) as error:  # a name that can't be written, a channel that is closed
            return failed(str(error))
        return read_answer(name, kind, list(_records(result.answer)))

    async def close(self) -> None:
        """Closes sockets; what is still asked for is given up."""
        await self._resolver.close()


def _denial_or_failure(code: int) -> Lookup:
    if code == errno.ARES_ENOTFOUND:
        return NO_NAME
    if code == errno.ARES_ENODATA:
        return NO_RECORDS
    return failed(_WORDS.get(code) or str(errno.strerror(code)))


def _records(answer: Iterable[pycares.DNSRecord]) -> Iterable[Record]:
    for record in answer:
        match record.data:
            case pycares.ARecordData() | pycares.AAAARecordData():
                yield Record(_text(record.name), record.type, record.ttl, _text(record.data.addr))
            case pycares.CNAMERecordData():
                yield Record(_text(record.name), record.type, record.ttl, _text(record.data.cname))
            case pycares.SRVRecordData() as srv:
                service = Service(srv.priority, srv.weight, srv.port, _text(srv.target))
                yield Record(_text(record.name), record.type, record.ttl, service)


def _text(name: str | bytes) -> str:
    """pycares leaves names that are not ASCII as bytes."""
    return name if isinstance(name, str) else name.decode("ascii", "backslashreplace")
