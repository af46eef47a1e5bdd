"""Lists the EndpointSlices of a Service and watches them
(https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).

A watch that ends in time goes on from the last resourceVersion that it told. One that is too old (410, as a status or as an
ERROR event in a 200 stream), silent, broken or not understood is followed by a new list: its old version would be refused
for ever (kubernetes_asyncio#327).
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.backoff import FIRST_S, Backoff
from balance.discovery.endpoint_slices import EndpointSlices
from balance.discovery.json_reading import dict_of, list_of, printable, read_json, text_of
from balance.discovery.settings import KubernetesDiscovery
from balance.discovery.watch_lines import WatchLines
from balance.process.control.discovery.source import OnReport, Source
from balance.process.control.http_client.client import ClientError, HttpClient, Reply, Stream
from balance.process.control.http_client.kubernetes_access import Access, KubernetesAccess

MAX_PAGE: Final = 32 * 1024 * 1024  # bytes; a slice of 100 endpoints is some 50 KB
PAGE: Final = 100  # slices
MAX_PAGES: Final = 100
MAX_WAIT_S: Final = 60.0  # for which a server may ask (Retry-After)
log = logging.getLogger("balance.control")


@dataclass(frozen=True, slots=True)
class KubernetesPace:
    """How long what takes."""

    answer_s: float = 15.0  # for a page of a list, and for the head of a watch
    watch_s: float = 240.0  # of a watch, at most, by the server's clock; it says nothing meanwhile where nothing changes
    grace_s: float = 15.0  # beyond it, by ours: then the watch is taken for dead (kopf#1267)
    lived_s: float = 20.0  # a watch that lived so long was a good one: the next may begin at once
    together_s: float = 0.1  # changes within it are told together: who serves, of 2,000 endpoints, takes 20 ms to find out
    second_look_s: float = 1.5  # after an answer that says that there is nobody
    first_pause_s: float = FIRST_S


class _ListAgain(Exception):
    """What is known is too old, or in doubt."""


class _Refused(Exception):
    """An answer that is no list and no watch, in words; `wait_s` is what the server asks for."""

    def __init__(self, words: str, wait_s: float = 0.0) -> None:
        super().__init__(words)
        self.wait_s = wait_s


class KubernetesSource(Source):
    """The endpoints of one Service."""

    kind: ClassVar[str] = "kubernetes"

    def __init__(
        self,
        settings: KubernetesDiscovery,
        pool: str,
        pace: KubernetesPace = KubernetesPace(),
        access: KubernetesAccess | None = None,
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._access = access or KubernetesAccess(settings.kubeconfig)
        namespace = f"{settings.namespace}/" if settings.namespace else ""
        self.where = f"{namespace}{settings.service} in {self._access.where}"
        self._slices = EndpointSlices(settings.port, settings.family)
        self._version = ""  # that the next watch goes on from
        self._backoff = Backoff(random.random, pace.first_pause_s)
        self._report: OnReport = _nobody
        self._empty = 0  # answers in a row that say that there is nobody

    async def run(self, report: OnReport) -> None:
        self._report = report
        while True:
            wait_s = 0.0
            try:
                await self._list()
                await self._watch()
            except _ListAgain:
                pass
            except (ClientError, ValueError) as error:
                report(SourceFailure(str(error)))
            except _Refused as error:
                report(SourceFailure(str(error)))
                wait_s = error.wait_s
            except Exception as error:  # a bug of ours must not end the discovery of a pool
                log.exception("the watch of EndpointSlices failed")
                report(SourceFailure(type(error).__name__))
            await self._pause(wait_s)

    # --- list ---------------------------------------------------------------------------------------------

    async def _list(self) -> None:
        """All slices as they are now, page by page."""
        is_paged, token, pages = True, "", 0
        self._slices.begin()
        while True:
            asked = {"limit": str(PAGE)} if is_paged else {}
            reply = await self._ask(asked | ({"continue": token} if token else {}))
            if reply.status == 410 and token:
                is_paged, token = False, ""
                self._slices.begin()  # the list has grown too old while it was read: once more, in one piece
                continue
            if reply.status != 200:
                raise _refused(reply.status, reply.body, reply.fields.get("retry-after", ""), "list")
            document = dict_of(read_json(reply.body))
            if text_of(document.get("kind")) != "EndpointSliceList" or not isinstance(document.get("items"), list | None):
                raise ValueError("its answer is no EndpointSliceList; is there a Kubernetes API server at this address?")
            self._slices.add(list_of(document.get("items")))
            metadata = dict_of(document.get("metadata"))
            token, self._version = text_of(metadata.get("continue")), text_of(metadata.get("resourceVersion"))
            pages += 1
            if not token:
                break
            if pages >= MAX_PAGES:
                raise ValueError(f"its list has more than {MAX_PAGES} pages")
        self._slices.commit()
        self._tell()

    async def _ask(self, asked: dict[str, str]) -> Reply:
        """A page. What is refused as unauthorized is asked once more with a token that was read anew."""
        access = await self._access.current()
        for is_last in (False, True):
            reply = await HttpClient(access.server).request(
                "GET", self._target(access, asked), access.fields, within_s=self._pace.answer_s, max_bytes=MAX_PAGE
            )
            if reply.status != 401 or is_last:
                break
            self._access.forget()
            access = await self._access.current()
        return reply

    def _target(self, access: Access, asked: dict[str, str]) -> str:
        namespace = self._settings.namespace or access.namespace
        selector = f"kubernetes.io/service-name={self._settings.service}"
        query = urlencode({"labelSelector": selector} | asked)
        return f"/apis/discovery.k8s.io/v1/namespaces/{quote(namespace, safe='')}/endpointslices?{query}"

    # --- watch --------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Watch after watch, until a new list is needed: _ListAgain, or another exception."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            has_lived = False
            try:
                await self._watch_once()
            finally:
                has_lived = loop.time() - started >= self._pace.lived_s
                if has_lived:
                    self._backoff.reset()
            if not has_lived:
                await self._pause(0.0)

    async def _watch_once(self) -> None:
        watch_s = max(1, int(self._pace.watch_s * (0.75 + random.random() / 4)))  # not every balancer at once
        asked = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(watch_s),
        }
        access = await self._access.current()
        client = HttpClient(access.server)
        ends_at = asyncio.get_running_loop().time() + watch_s + self._pace.grace_s
        async with client.stream("GET", self._target(access, asked), access.fields, head_s=self._pace.answer_s) as stream:
            if stream.status in (401, 410):
                if stream.status == 401:
                    self._access.forget()
                raise _ListAgain
            if stream.status != 200:
                body = await _start(stream, self._pace.answer_s)
                raise _refused(stream.status, body, stream.fields.get("retry-after", ""), "watch")
            await self._follow(stream, ends_at)

    async def _follow(self, stream: Stream, ends_at: float) -> None:
        """Take the events of one watch, to its end."""
        loop = asyncio.get_running_loop()
        lines = WatchLines()
        look_at = ends_at
        told_at, is_changed = loop.time() - self._pace.together_s, False
        while True:
            if self._empty == 1 and look_at == ends_at:
                look_at = loop.time() + self._pace.second_look_s
            elif self._empty != 1:
                look_at = ends_at
            tell_at = told_at + self._pace.together_s if is_changed else ends_at
            try:
                data = await stream.read(max(min(look_at, ends_at, tell_at) - loop.time(), 0.001))
            except TimeoutError:
                if is_changed:
                    self._tell()
                    told_at, is_changed = loop.time(), False
                    continue
                if look_at < ends_at:
                    self._backoff.reset()
                    raise _ListAgain from None  # a second look
                raise ClientError("its watch says nothing, and has not ended when it should have") from None
            if not data:
                if not lines.is_between:
                    raise ClientError("its watch breaks off within an event")
                if is_changed:
                    self._tell()
                return
            for event in lines.feed(data):
                is_changed |= self._take(event)
            if is_changed and loop.time() >= told_at + self._pace.together_s:
                self._tell()
                told_at, is_changed = loop.time(), False

    async def _pause(self, least_s: float) -> None:
        loop = asyncio.get_running_loop()
        wait_s = max(least_s, self._backoff.next_s())
        self.next_look_s = loop.time() + wait_s
        await asyncio.sleep(wait_s)
        self.next_look_s = None

    def _take(self, event: dict[str, Any]) -> bool:
        """One event. Whether it says something of the slices."""
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            code = item.get("code")
            if code == 410:
                raise _ListAgain
            raise _Refused(f"its watch ends with an error: {code if isinstance(code, int) else ''} {_said(item)}".rstrip())
        version = text_of(dict_of(item.get("metadata")).get("resourceVersion"))
        if kind != "BOOKMARK":
            self._slices.apply(kind, item)
        if version:
            self._version = version
        return bool(kind != "BOOKMARK")

    def _tell(self) -> None:
        result = self._slices.report()
        self._empty = self._empty + 1 if isinstance(result, Answer) and not result.endpoints else 0
        self._report(result)


def _nobody(report: Answer | SourceFailure) -> None:
    """Before run()."""


def _said(status: dict[str, Any]) -> str:
    """What a Status object says."""
    return printable(text_of(status.get("message")) or text_of(status.get("reason")))


async def _start(stream: Stream, within_s: float) -> bytes:
    """The first bytes of what an error says."""
    try:
        return await stream.read(within_s)
    except (TimeoutError, ClientError):
        return b""


def _refused(status: int, body: bytes, retry_after: str, verb: str) -> _Refused:
    """A status that is no list and no watch, in words."""
    wait_s = min(float(retry_after), MAX_WAIT_S) if retry_after.isdecimal() and len(retry_after) < 6 else 0.0
    try:
        said = _said(dict_of(read_json(body)))
    except ValueError:
        said = ""
    if status == 401:
        return _Refused("it does not accept the token or certificate (401)", wait_s)
    if status == 403:
        return _Refused(f"it refuses to {verb} endpointslices (403; a Role has to allow get, list and watch): {said}", wait_s)
    if 300 <= status < 400:
        return _Refused(f"it answers {status} and leads elsewhere, which is not followed", wait_s)
    return _Refused(f"it answers {status} to a {verb}{f': {said}' if said else ''}", wait_s)
