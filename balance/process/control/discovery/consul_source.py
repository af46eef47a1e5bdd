"""Asks a Consul agent who serves, and waits there for changes: blocking queries
(https://developer.hashicorp.com/consul/api-docs/features/blocking).

What fails is tried again for ever: an agent without a leader (500) has one again some day (traefik#515, traefik#3944). A query
that does not come back in its time is given up by our own clock.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import quote, urlencode

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.backoff import FIRST_S, Backoff
from balance.discovery.consul_health import failure_of_status, health_of, next_index
from balance.discovery.settings import ConsulDiscovery
from balance.process.control.discovery.source import OnReport, Source
from balance.process.control.http_client.client import ClientError, HttpClient, Reply, Server, server_of, tls_context
from balance.process.control.http_client.token_file import Reread, read_apart, read_bounded, read_token
from balance.tls.settings import BackendTls, PemFile

MAX_BYTES: Final = 32 * 1024 * 1024  # an instance with its checks is some 2 KB
log = logging.getLogger("balance.control")


@dataclass(frozen=True, slots=True)
class ConsulPace:
    """How long what takes."""

    wait_s: float = 60.0  # for a change, at most; the agent adds up to a sixteenth. Less than what proxies between cut at
    answer_s: float = 10.0  # for all other than waiting
    between_s: float = 1.0  # from query to query, at least: a busy service must not become a busy loop
    first_pause_s: float = FIRST_S


class ConsulSource(Source):
    """The passing instances of one service."""

    kind: ClassVar[str] = "consul"

    def __init__(self, settings: ConsulDiscovery, pool: str, pace: ConsulPace = ConsulPace()) -> None:
        self._settings = settings
        self._pace = pace
        self.where = f"{settings.service} at {settings.address.rpartition('@')[2]}"  # a password that should not be there
        self._reread = Reread()
        self._server: Server | None = None
        self._token = ""
        self._index = 0

    async def run(self, report: OnReport) -> None:
        backoff = Backoff(random.random, self._pace.first_pause_s)
        loop = asyncio.get_running_loop()
        empty = 0  # answers in a row
        while True:
            started = loop.time()
            result = await self._ask()
            report(result)
            if isinstance(result, Answer):
                backoff.reset()
                pause_s = started + self._pace.between_s * (1 + random.random() / 4) - loop.time()
                empty = 0 if result.endpoints else empty + 1
                if empty == 1:
                    self._index = 0  # a second look: one answer is not enough to believe that there is nobody (consul#4103)
            else:
                self._index = 0
                pause_s = backoff.next_s()
            if pause_s > 0:
                self.next_look_s = loop.time() + pause_s
                await asyncio.sleep(pause_s)
            self.next_look_s = None

    async def _ask(self) -> Answer | SourceFailure:
        """One query."""
        try:
            reply = await self._query()
            if reply.status == 403 and self._settings.token_file:
                self._reread.forget()  # it may have been renewed
                reply = await self._query()
        except ClientError as error:
            return SourceFailure(str(error))
        except Exception as error:  # a bug of ours must not end the discovery of a pool
            log.exception("a question to Consul failed")
            return SourceFailure(type(error).__name__)
        if reply.status != 200:
            return SourceFailure(failure_of_status(reply.status, reply.body, reply.fields.get("location", "")))
        result = health_of(reply.body, reply.fields, self._settings.tags)
        if isinstance(result, Answer):
            self._index = next_index(reply.fields.get("x-consul-index", ""), self._index)
        return result

    async def _query(self) -> Reply:
        settings, pace = self._settings, self._pace
        server = await self._current()
        asked = [("passing", "1"), *(("tag", tag) for tag in settings.tags)]
        if settings.datacenter:
            asked.append(("dc", settings.datacenter))
        within_s = pace.answer_s
        if self._index:
            wait_s = pace.wait_s * (0.75 + random.random() / 4)  # not every balancer at once
            asked += [("index", str(self._index)), ("wait", f"{max(int(wait_s * 1000), 1)}ms")]
            within_s += wait_s * 17 / 16
        target = f"/v1/health/service/{quote(settings.service, safe='')}?{urlencode(asked)}"
        fields = [("Accept", "application/json"), *((("X-Consul-Token", self._token),) if self._token else ())]
        return await HttpClient(server).request("GET", target, fields, within_s=within_s, max_bytes=MAX_BYTES)

    async def _current(self) -> Server:
        if not self._reread.is_due() and self._server is not None:
            return self._server
        try:
            made = await read_apart(self._read)
        except ClientError:
            self._reread.forget()
            raise
        self._server, self._token = made
        return made[0]

    def _read(self) -> tuple[Server, str]:
        """Whom to ask and with which token; blocks. ClientError."""
        settings = self._settings
        context = None
        if settings.address.startswith("https:"):
            ca = PemFile()
            if settings.ca_file:
                ca = PemFile(settings.ca_file, read_bounded(settings.ca_file, "ca_file"))
            context = tls_context(BackendTls(ca_file=ca))
        try:
            server = server_of(settings.address, context)
        except ValueError as error:
            raise ClientError(str(error)) from None
        return server, read_token(settings.token_file) if settings.token_file else settings.token
