"""Discovery through Kubernetes, against an API server that answers as documented and one that misbehaves: S12 to S16."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import pytest
import yaml
from api_server import ApiServer
from pem_files import self_signed
from reports import Reports, shown
from scripted_server import CLOSE, ScriptedServer, reply
from slices import DYING, ENDING, endpoint, endpoint_slice, port

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.settings import KubernetesDiscovery
from balance.process.control.discovery.kubernetes_source import KubernetesPace, KubernetesSource
from balance.process.control.http_client.kubernetes_access import KubernetesAccess

FAST = KubernetesPace(answer_s=5.0, watch_s=20.0, grace_s=5.0, second_look_s=0.05, first_pause_s=0.01)
ONE = endpoint_slice("app-1", endpoint("10.0.0.1", "pod-1"))
TWO = endpoint_slice("app-2", endpoint("10.0.0.2", "pod-2"))
LIST, WATCH = "list", "watch"


def write_kubeconfig(folder: Path, server: str, user: dict[str, Any] | None = None, **cluster: Any) -> str:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "c", "cluster": {"server": server} | cluster}],
        "users": [{"name": "u", "user": user or {}}],
    }
    (folder / "config").write_text(yaml.safe_dump(document))
    return str(folder / "config")


Talk = Callable[[ApiServer, Reports], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ApiServer]:
    """A source and a server that knows the slice ONE of the Service `app`, which may be prepared before it is asked."""

    def run(
        talk: Talk, pace: KubernetesPace = FAST, prepare: Callable[[ApiServer], object] = len, **settings: Any
    ) -> ApiServer:
        async def both() -> ApiServer:
            server = ApiServer()
            server.put(ONE)
            if prepare is not len:
                prepare(server)
            async with server:
                kubeconfig = write_kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}")
                source = KubernetesSource(KubernetesDiscovery("app", kubeconfig=kubeconfig, **settings), "p", pace)
                async with Reports(source) as reports:
                    await talk(server, reports)
            return server

        return asyncio.run(both())

    return run


Run = Callable[..., ApiServer]


def asked(server: ApiServer) -> list[dict[str, str]]:
    return [{name: values[0] for name, values in parse_qs(urlsplit(each).query).items()} for each in server.requests]


def kinds(server: ApiServer) -> list[str]:
    """Lists and watches in their order."""
    return [WATCH if "watch" in each else LIST for each in asked(server)]


@pytest.mark.parametrize(
    "item", [ONE, endpoint_slice("e", endpoint("fd00::1", conditions=ENDING, zone="z"), family="IPv6", ports=[port(None)])]
)
def test_the_slices_of_these_tests_are_such_as_kubernetes_takes(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, "1.35", strict=True)


def test_one_list_and_then_changes_as_they_happen(run: Run) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.put(TWO)
        await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")
        server.put(endpoint_slice("app-1", endpoint("10.0.0.1", "pod-1", conditions=ENDING)))
        await reports.until_addresses("~10.0.0.1:8080", "10.0.0.2:8080")
        server.put(endpoint_slice("other-1", endpoint("10.0.0.9"), service="other"))
        server.delete("app-1")
        await reports.until_addresses("10.0.0.2:8080")

    server = run(talk)
    assert kinds(server) == [LIST, WATCH]
    first, second = asked(server)
    assert server.requests[0].startswith("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?")
    assert first["labelSelector"] == second["labelSelector"] == "kubernetes.io/service-name=app" and first["limit"] == "100"
    assert (second["resourceVersion"], second["allowWatchBookmarks"]) == ("101", "true") and 15 <= int(
        second["timeoutSeconds"]
    ) <= 20


def test_what_is_asked_for(run: Run) -> None:
    """A port by its name, in a namespace, of a Service that has both families."""
    ports = [port(8080, "http"), port(8443, "https")]
    slices = [
        endpoint_slice("app-4", endpoint("10.0.0.4", "pod-4"), ports=ports),
        endpoint_slice("app-6", endpoint("fd00::6", "pod-6"), ports=ports, family="IPv6"),
    ]
    for each in slices:
        each["metadata"]["namespace"] = "store"

    async def talk(server: ApiServer, reports: Reports) -> None:
        assert shown(await reports.next()) == ["[fd00::6]:8443"]

    server = run(talk, prepare=lambda server: server.put(*slices), namespace="store", port="https", family="ipv6")
    assert server.requests[0].startswith("/apis/discovery.k8s.io/v1/namespaces/store/endpointslices?")


def test_a_service_in_many_slices_is_one_set_page_by_page(run: Run) -> None:
    """S13: over 100 pods, 260 slices, three pages."""
    slices = [endpoint_slice(f"app-{n:03}", endpoint(f"10.1.{n >> 8}.{n & 255}")) for n in range(260)]

    async def talk(server: ApiServer, reports: Reports) -> None:
        answer = await reports.next()
        assert isinstance(answer, Answer) and len(answer.endpoints) == 261

    server = run(talk, prepare=lambda server: server.put(*slices))
    assert kinds(server)[:3] == [LIST] * 3


def test_a_list_that_grows_too_old_while_it_is_read_is_read_in_one_piece(run: Run) -> None:
    slices = [endpoint_slice(f"app-{n:03}", endpoint(f"10.1.0.{n}")) for n in range(150)]

    def prepare(server: ApiServer) -> None:
        server.put(*slices)
        listed = server._list

        def compacts(*arguments: Any) -> Any:
            answer = listed(*arguments)
            server.compact()
            return answer

        server._list = compacts  # type: ignore[method-assign]

    async def talk(server: ApiServer, reports: Reports) -> None:
        answer = await reports.next()
        assert isinstance(answer, Answer) and len(answer.endpoints) == 151

    server = run(talk, prepare=prepare)
    assert ["limit" in each for each in asked(server)][:3] == [True, True, False]


def test_a_watch_that_ends_in_time_goes_on_from_what_it_told(run: Run) -> None:
    """The server closes each watch after a moment; bookmarks move the version without any change."""

    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.put(endpoint_slice("other-1", endpoint("10.0.0.9"), service="other"))  # moves the version, and is not for us
        await asyncio.sleep(0.4)
        server.put(TWO)
        await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")

    def prepare(server: ApiServer) -> None:
        server.watch_s, server.bookmark_s = 0.1, 0.03

    server = run(talk, KubernetesPace(lived_s=0.05, first_pause_s=0.01), prepare)
    assert kinds(server).count(LIST) == 1
    assert {each["resourceVersion"] for each in asked(server) if "watch" in each} >= {"101", "102"}


def test_a_watch_that_is_closed_at_once_is_no_busy_loop(run: Run) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        await asyncio.sleep(0.5)

    server = run(talk, KubernetesPace(first_pause_s=0.05), lambda server: setattr(server, "watch_s", 0.0))
    assert len(server.requests) < 10


@pytest.mark.parametrize("fault", ["", "410 event"])
def test_a_version_that_is_too_old_is_followed_by_a_list(run: Run, fault: str) -> None:
    """S12: as a status, and as an ERROR event in a 200 stream. What changed meanwhile is in the new list."""

    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.faults.append(fault)
        server.delete("app-1")
        server.put(TWO)
        server.compact()
        server.watch_s = 0.0  # the watch that there is ends
        server.tell()
        server.watch_s = 3600.0
        await reports.until_addresses("10.0.0.2:8080")
        server.put(endpoint_slice("app-2", endpoint("10.0.0.3")))
        await reports.until_addresses("10.0.0.3:8080")
        assert not [each for each in reports.all if isinstance(each, SourceFailure)]

    def prepare(server: ApiServer) -> None:
        server.watch_s = 0.3

    server = run(talk, KubernetesPace(lived_s=0.1, first_pause_s=0.01, second_look_s=0.05), prepare)
    versions = [int(each["resourceVersion"]) for each in asked(server) if "watch" in each]
    assert kinds(server).count(LIST) >= 2 and versions == sorted(versions)


@pytest.mark.long
def test_a_watch_that_is_silent_is_ended_by_our_own_clock(run: Run) -> None:
    """S14: what is between has forgotten the connection, and nobody says so."""

    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.is_silent = True
        server.put(TWO)
        await reports.until_failure("its watch says nothing, and has not ended when it should have")
        await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")

    run(talk, KubernetesPace(watch_s=1.0, grace_s=0.1, first_pause_s=0.01), lambda server: setattr(server, "is_silent", True))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500", "it answers 500 to a watch"),
        pytest.param("429", "it answers 429 to a watch: too many requests", marks=pytest.mark.long),
        ("reset", "without an answer"),
        ("500 event", "its watch ends with an error: 500 etcdserver: leader changed"),
        ("cut event", "its watch breaks off within an event"),
        ("cut json", "its watch breaks off within an event"),
        ("html", "its watch breaks off within an event"),
        ("redirect", "it answers 307 and leads elsewhere"),
        pytest.param("long event", "an event is longer than 8 MB", marks=pytest.mark.long),
    ],
)
def test_a_watch_that_is_none_is_said_and_followed_by_a_list(run: Run, fault: str, words: str) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_failure(words)
        await reports.until_addresses("10.0.0.1:8080")
        server.put(TWO)
        await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")

    run(talk, prepare=lambda server: server.faults.extend(["", fault]))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500", "it answers 500 to a list"),
        ("cut", "its answer breaks off"),
        ("cut json", "its answer breaks off: the JSON has no end"),
        ("html", "its answer is not JSON"),
        ("reset", "without an answer"),
        pytest.param("endless", "its answer is longer than 32768 KB", marks=pytest.mark.long),
    ],
)
def test_a_list_that_is_none_is_a_failure_and_never_nobody(run: Run, fault: str, words: str) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_failure(words)
        await reports.until_addresses("10.0.0.1:8080")
        assert not any(isinstance(each, Answer) and not each.endpoints for each in reports.all)

    run(talk, prepare=lambda server: server.faults.append(fault))


def test_a_server_that_is_gone_and_comes_back(run: Run) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        await server.stop()
        await reports.until_failure("connection refused")
        server.put(TWO)
        server.compact()
        await server.start()
        await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")

    run(talk)


@pytest.mark.parametrize("piece", [1, 7])
def test_lines_that_are_split_anywhere(run: Run, piece: int) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.put(TWO)
        await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")

    run(talk, prepare=lambda server: setattr(server, "piece", piece))


def test_what_a_role_does_not_allow_is_said(run: Run) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        words = (
            "it refuses to list endpointslices (403; a Role has to allow get, list and watch): endpointslices.discovery.k8s.io"
        )
        await reports.until_failure(words)
        server.verbs = {"list"}
        await reports.until_addresses("10.0.0.1:8080")
        await reports.until_failure("it refuses to watch endpointslices (403; a Role")
        server.verbs = {"list", "watch"}
        server.put(TWO)
        await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")

    run(talk, prepare=lambda server: setattr(server, "verbs", set()))


def test_nobody_is_looked_at_twice_and_then_waited_for(run: Run) -> None:
    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.put(endpoint_slice("app-1", endpoint("10.0.0.1", conditions=DYING)))
        await reports.until_addresses()
        await reports.until_addresses()
        await asyncio.sleep(0.3)
        assert kinds(server)[-3:] == [WATCH, LIST, WATCH]
        server.put(ONE)
        await reports.until_addresses("10.0.0.1:8080")

    run(talk)


def test_all_pods_that_end_are_used_until_one_is_ready(run: Run) -> None:
    """A rolling restart of a single pod: the old one serves on while the new one is not ready."""

    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.put(endpoint_slice("app-1", endpoint("10.0.0.1", "pod-1", conditions=ENDING)))
        await reports.until(lambda each: isinstance(each, Answer))
        server.put(endpoint_slice("app-1", endpoint("10.0.0.1", "pod-1", conditions=ENDING), endpoint("10.0.0.2", "pod-2")))
        await reports.until_addresses("~10.0.0.1:8080", "10.0.0.2:8080")
        assert [shown(each) for each in reports.all if isinstance(each, Answer)][1] == ["10.0.0.1:8080"]

    run(talk)


def test_a_burst_of_changes_is_few_reports(run: Run) -> None:
    """S16: what comes at once is reported once; the rest is the debounce of the pool."""

    async def talk(server: ApiServer, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:8080")
        server.put(*[endpoint_slice("app-1", endpoint(f"10.0.1.{n}")) for n in range(200)])
        await reports.until_addresses("10.0.1.199:8080")
        assert len(reports.all) < 12

    run(talk)


def test_in_a_pod_with_a_token_that_is_renewed(tmp_path: Path) -> None:
    """S15: over TLS with the cluster's authority; the old token is refused, and the file has a new one."""
    cert, key = self_signed("kubernetes.default.svc", "IP:127.0.0.1")
    (tmp_path / "ca.crt").write_bytes(cert.read_bytes())
    (tmp_path / "token").write_text("first")
    (tmp_path / "namespace").write_text("shop")

    async def talk() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server = ApiServer()
        server.put(ONE)
        server.tokens = {"first"}
        server.watch_s = 0.2
        await server.start(context)
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
        access = KubernetesAccess("", environ, str(tmp_path))
        pace = KubernetesPace(lived_s=0.1, first_pause_s=0.01)
        async with Reports(KubernetesSource(KubernetesDiscovery("app"), "p", pace, access)) as reports:
            await reports.until_addresses("10.0.0.1:8080")
            (tmp_path / "token").write_text("second")
            server.tokens = {"second"}
            server.put(TWO)
            await reports.until_addresses("10.0.0.1:8080", "10.0.0.2:8080")
            assert all(isinstance(each, Answer) for each in reports.all)  # and nobody was troubled with it
            server.tokens = {"third"}
            await reports.until_failure("it does not accept the token or certificate (401)")
            assert "second" not in repr(reports.all)
        await server.stop()

    asyncio.run(talk())


def test_endless_pages_are_bounded(tmp_path: Path) -> None:
    page = {"kind": "EndpointSliceList", "metadata": {"resourceVersion": "1", "continue": "again"}, "items": []}

    async def talk() -> None:
        async with ScriptedServer(reply("200 OK", json.dumps(page).encode())) as server:
            source = KubernetesSource(KubernetesDiscovery("app", kubeconfig=write_kubeconfig(tmp_path, server.url)), "p", FAST)
            async with Reports(source) as reports:
                await reports.until_failure("its list has more than 100 pages")

    asyncio.run(talk())


def test_a_server_of_another_kind_is_said(tmp_path: Path) -> None:
    async def talk(answer: bytes) -> None:
        async with ScriptedServer([answer, CLOSE]) as server:
            source = KubernetesSource(KubernetesDiscovery("app", kubeconfig=write_kubeconfig(tmp_path, server.url)), "p", FAST)
            async with Reports(source) as reports:
                await reports.until_failure("is there a Kubernetes API server at this address?")

    asyncio.run(talk(reply("200 OK", b"[]")))
    asyncio.run(talk(reply("200 OK", b'{"kind": "EndpointSliceList", "items": 7}')))
