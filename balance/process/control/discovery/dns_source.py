"""Discovery by DNS: asks for a name's addresses or SRV records again and again, and reports what that comes to.

NXDOMAIN and NODATA are an answer, that there is nobody; all else without a record is a failure (`discovery/dns/lookup.py`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.dns.addresses import NOT_YET, Addresses, merged
from balance.discovery.dns.lookup import Lookup, RecordType, Service, Status, canonical
from balance.discovery.dns.refresh import refresh_pause_s, retry_pause_s
from balance.discovery.dns.search_list import ResolvConf, names_to_ask, parse_resolv_conf
from balance.discovery.dns.srv import host_port, part_of, srv_endpoints, targets_of
from balance.discovery.endpoint import Endpoint
from balance.discovery.settings import DnsDiscovery
from balance.process.control.discovery.dns_client import DnsClient
from balance.process.control.discovery.source import OnReport, Source

OTHER_FAMILY_S: Final = 0.5  # how long the addresses of one family wait for those of the other
FAMILIES: Final = (RecordType.A.name, RecordType.AAAA.name)
MAX_ENDPOINTS: Final = 4096  # more than one answer of 64 KB can name
SHOWN_FAILURES: Final = 3


class DnsSource(Source):
    """One name."""

    kind = "dns"

    def __init__(self, settings: DnsDiscovery, pool: str, system_conf: Callable[[], ResolvConf] | None = None) -> None:
        self.where = f"{settings.name} {'SRV' if settings.type == 'srv' else 'A and AAAA'}"
        self._settings = settings
        self._system_conf = system_conf or read_resolv_conf
        self._in_vain = 0  # looks in a row that found nobody
        self._partial: tuple[str, ...] = ()  # of the last whole answer

    async def run(self, report: OnReport) -> None:
        loop = asyncio.get_running_loop()
        while True:
            answer = await self._look(report)
            report(answer)
            self._partial = answer.partial if isinstance(answer, Answer) else ()
            pause = self._pause_s(answer)
            self.next_look_s = loop.time() + pause
            await asyncio.sleep(pause)
            self.next_look_s = None

    def _pause_s(self, answer: Answer | SourceFailure) -> float:
        if isinstance(answer, Answer) and answer.endpoints:
            self._in_vain = 0
            return refresh_pause_s(answer.valid_s, self._settings.refresh_s, random.random())
        self._in_vain += 1
        return retry_pause_s(self._in_vain, self._settings.refresh_s, random.random())

    async def _look(self, report: OnReport) -> Answer | SourceFailure:
        settings = self._settings
        try:
            conf = self._conf()
            client = DnsClient(conf.servers)
            try:
                names = names_to_ask(settings.name, conf)
                if settings.type == "srv":
                    return await self._look_for_services(client, names)
                return await self._look_for_addresses(client, names, report)
            finally:
                await client.close()
        except Exception as error:  # a source does not end; c-ares without memory or descriptors, say
            return SourceFailure(f"{type(error).__name__}: {error}")

    def _conf(self) -> ResolvConf:
        """Whom to ask. Resolvers of one's own come without a search list: their names are complete."""
        return ResolvConf(self._settings.resolvers) if self._settings.resolvers else self._system_conf()

    async def _look_for_addresses(self, client: DnsClient, names: tuple[str, ...], report: OnReport) -> Answer | SourceFailure:
        """By the first name that has addresses. One that can't be asked for ends the search: the next may be another's."""
        for name in names:
            # A family that fails slowly would else be well and ill by turns.
            found = await self._addresses(
                client, name, lambda early: report(replace(self._answer(early), partial=self._partial))
            )
            if isinstance(found, SourceFailure):
                return SourceFailure(f"{name}: {found.words}")
            if found.families:
                return self._answer(found)
        return Answer(())

    def _answer(self, found: Addresses) -> Answer:
        endpoints = tuple(Endpoint(host_port(address, self._settings.port), part=family) for address, family in found.families)
        return Answer(endpoints, found.ttl_s, found.partial, found.unasked)

    async def _addresses(
        self, client: DnsClient, name: str, early: Callable[[Addresses], None] | None = None
    ) -> Addresses | SourceFailure:
        """Of both families, asked for at once. `early` gets what one has while the other is late."""
        async with asyncio.TaskGroup() as group:
            a = group.create_task(client.ask(name, RecordType.A))
            aaaa = group.create_task(client.ask(name, RecordType.AAAA))
            if early is not None:
                await asyncio.wait((a, aaaa), return_when=asyncio.FIRST_COMPLETED)
                done, late = await asyncio.wait((a, aaaa), timeout=OTHER_FAMILY_S)
                if late and any(task.result().status is Status.FOUND for task in done):
                    so_far = merged(*(NOT_YET if task in late else task.result() for task in (a, aaaa)))
                    if isinstance(so_far, Addresses):
                        early(so_far)
        return merged(a.result(), aaaa.result())

    async def _look_for_services(self, client: DnsClient, names: tuple[str, ...]) -> Answer | SourceFailure:
        for name in names:
            lookup = await client.ask(name, RecordType.SRV)
            if lookup.is_failed:
                return SourceFailure(f"{name}: SRV: {lookup.words}")
            if lookup.values:
                return await self._resolve_targets(client, lookup)
        return Answer(())

    async def _resolve_targets(self, client: DnsClient, lookup: Lookup) -> Answer | SourceFailure:
        services = [value for value in lookup.values if isinstance(value, Service)]
        async with asyncio.TaskGroup() as group:
            tasks = {target: group.create_task(self._addresses(client, target)) for target in targets_of(services)}
        found: dict[str, Addresses] = {}
        partial = [lookup.words] if lookup.words else []
        unasked: set[str] = set()
        for target, task in tasks.items():
            result = task.result()
            if isinstance(result, SourceFailure):
                partial.append(f"{target}: {result.words}")
                unasked |= {part_of(target, family) for family in FAMILIES}
            else:
                found[target] = result
                partial += (f"{target}: {words}" for words in result.partial)
                unasked |= {part_of(target, family) for family in result.unasked}
        # Before they are multiplied out: a zone could name thousands of targets with thousands of addresses each.
        by_target = {target: len(each.families) for target, each in found.items()}
        count = sum(by_target.get(canonical(service.target), 0) for service in services)
        if count > MAX_ENDPOINTS:
            return SourceFailure(f"{count} addresses, which is more than the {MAX_ENDPOINTS} that a pool may have")
        endpoints = srv_endpoints(services, found)
        if unasked and not endpoints:
            return SourceFailure(_shortened(partial))
        ttl_s = min([lookup.ttl_s, *(each.ttl_s for each in found.values() if each.ttl_s is not None)])
        return Answer(endpoints, ttl_s, tuple(partial[:SHOWN_FAILURES]), frozenset(unasked))


def read_resolv_conf(file: Path = Path("/etc/resolv.conf")) -> ResolvConf:
    """What the file says now; without one, what it means when it is empty."""
    with suppress(OSError):
        return parse_resolv_conf(file.read_text("utf-8", "replace"))
    return ResolvConf()


def _shortened(words: Sequence[str]) -> str:
    return words[0] + (f"; and {len(words) - 1} more" if len(words) > 1 else "")
