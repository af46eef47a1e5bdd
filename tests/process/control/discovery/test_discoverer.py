"""From reports to orders: sources that a test plays, and a supervisor that answers as it is told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from balance.admin.discovery import DiscoveryView
from balance.admin.events.history import EventLog
from balance.admin.supervisor_orders import ChangeDiscovered, Order, OrderResult
from balance.config.model import Config, PoolConfig
from balance.discovery.answer import Answer, Report, SourceFailure
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.discovery.endpoint_set import Standing
from balance.discovery.settings import Discovery, FileDiscovery
from balance.process.control.discovery import SOURCES, discoverer
from balance.process.control.discovery.discoverer import Discoverer
from balance.process.control.discovery.file_look import FileFeed
from balance.process.control.discovery.source import OnReport, Source

A, B = Endpoint("10.0.0.1:80", "10.0.0.1:80"), Endpoint("10.0.0.2:80", "10.0.0.2:80")


class Played(Source):
    """Reports what a test has it report."""

    kind = "file"
    made: dict[str, "Played"] = {}

    def __init__(self, settings: FileDiscovery, pool: str) -> None:
        self.where = settings.path
        self.reports: asyncio.Queue[Report | Exception] = asyncio.Queue()
        self.files: FileFeed | None = None
        self.is_running = False
        self.made[pool] = self

    def read_through(self, files: FileFeed) -> None:
        self.files = files

    async def run(self, report: OnReport) -> None:
        self.is_running = True
        try:
            while True:
                said = await self.reports.get()
                if isinstance(said, Exception):
                    raise said
                report(said)
        finally:
            self.is_running = False


def config(**pools: Discovery | None) -> Config:
    return Config((), tuple(PoolConfig(name, (), discovery=discovery) for name, discovery in pools.items()))


def of(path: str = "x", **keys: float | str) -> Discovery:
    return Discovery(FileDiscovery(path), **{"debounce_s": 0.0, **keys})  # type: ignore[arg-type]


class Scene:
    """A discoverer with its supervisor."""

    def __init__(self, *known: DiscoveredPool) -> None:
        self.orders: asyncio.Queue[ChangeDiscovered] = asyncio.Queue()
        self.results: list[OrderResult] = []  # those to give next; then all is well
        self.events = EventLog()
        self.discoverer = Discoverer(asyncio.get_running_loop(), self.submit, self.events, known)

    async def submit(self, order: Order) -> OrderResult:
        assert isinstance(order, ChangeDiscovered)
        self.orders.put_nowait(order)
        return self.results.pop(0) if self.results else OrderResult(True, 2)

    async def order(self) -> list[tuple[str, list[str]]]:
        async with asyncio.timeout(20):
            return [(each.pool, [end.key for end in each.endpoints]) for each in (await self.orders.get()).sets]

    def says(self, pool: str, report: Report | Exception) -> None:
        Played.made[pool].reports.put_nowait(report)

    def state(self, pool: str = "web") -> DiscoveryView:
        return self.discoverer.states()[pool]


def play(monkeypatch: pytest.MonkeyPatch, steps: Callable[..., Awaitable[None]], *known: DiscoveredPool) -> None:
    monkeypatch.setitem(SOURCES, FileDiscovery, (__name__, "Played"))
    monkeypatch.setattr(discoverer, "RESTART_S", 0.01)
    Played.made.clear()

    async def main() -> None:
        scene = Scene(*known)
        await steps(scene)
        scene.discoverer.close()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing sets an event
            await asyncio.sleep(0.001)


def test_what_is_reported_is_ordered_and_what_is_unchanged_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(scene: Scene) -> None:
        scene.discoverer.update(config(web=of(), mail=None))
        assert scene.state().standing is Standing.WAITING
        assert "mail" not in scene.discoverer.states()
        await asyncio.sleep(0)
        scene.says("web", Answer((B, A)))
        assert await scene.order() == [("web", [A.key, B.key])]
        await until(lambda: scene.state().endpoints == 2)
        scene.says("web", Answer((A, B)))
        scene.says("web", Answer((A,)))
        assert await scene.order() == [("web", [A.key])]
        await until(lambda: scene.state().endpoints == 1)
        assert (scene.state().standing, scene.state().failure) == (Standing.FRESH, "")

    play(monkeypatch, steps)


def test_pools_that_are_due_together_are_one_order_and_one_order_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """S16."""

    async def steps(scene: Scene) -> None:
        scene.discoverer.update(config(a=of(), b=of(), c=of(debounce_s=0.0)))
        held: asyncio.Future[OrderResult] = asyncio.get_running_loop().create_future()
        submit = scene.submit

        async def slow(order: Order) -> OrderResult:
            await submit(order)
            return await held

        monkeypatch.setattr(scene.discoverer, "_submit_order", slow)
        for pool in "ab":
            scene.says(pool, Answer((A,)))
        assert await scene.order() == [("a", [A.key]), ("b", [A.key])]
        scene.says("c", Answer((A,)))
        for number in range(20):
            scene.says("a", Answer((Endpoint(f"10.1.0.{number}:80"),)))
        await asyncio.sleep(0.05)
        assert scene.orders.empty()
        held.set_result(OrderResult(True, 2))
        assert await scene.order() == [("a", ["10.1.0.19:80"]), ("c", [A.key])]

    play(monkeypatch, steps)


def test_a_failure_orders_nothing_and_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def steps(scene: Scene) -> None:
        scene.discoverer.update(config(web=of()))
        scene.says("web", Answer((A,)))
        await scene.order()
        for _ in range(5):
            scene.says("web", SourceFailure("no answer"))
        await until(lambda: Played.made["web"].reports.empty())
        assert (scene.state().standing, scene.state().failure, scene.state().endpoints) == (Standing.STALE, "no answer", 1)
        assert scene.orders.empty()
        assert caplog.text.count("no answer") == 1
        assert "the 1 that was found last stays" in caplog.text
        scene.says("web", Answer((A,)))
        await until(lambda: scene.state().standing is Standing.FRESH)
        assert "answers: 1 endpoint" in caplog.text

    with caplog.at_level(logging.INFO):
        play(monkeypatch, steps)


def test_a_failure_in_other_words_each_time_is_one_failure_and_an_answer_in_part_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(scene: Scene) -> None:
        scene.discoverer.update(config(web=of()))
        scene.says("web", Answer((A,)))
        await scene.order()
        for index in range(6):
            scene.says("web", SourceFailure(("SERVFAIL", "no answer")[index % 2]))
        await until(lambda: Played.made["web"].reports.empty() and scene.state().failure == "no answer")
        assert caplog.text.count("fails: ") == 1
        for index in range(4):
            scene.says("web", Answer((A,), partial=(f"AAAA: SERVFAIL {index}",)))
        await until(lambda: Played.made["web"].reports.empty() and scene.state().standing is Standing.FRESH)
        assert caplog.text.count("answers in part: AAAA: SERVFAIL 0") == 1
        assert caplog.text.count("fails: ") == 1 and caplog.text.count("in part") == 1

    with caplog.at_level(logging.INFO):
        play(monkeypatch, steps)


def test_what_the_supervisor_refuses_is_said_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("balance.discovery.endpoint_set.FIRST_RETRY_S", 0.01)

    async def steps(scene: Scene) -> None:
        scene.results += [OrderResult(False, 1, problems=("no room",))] * 2
        scene.discoverer.update(config(web=of()))
        scene.says("web", Answer((A,)))
        assert [await scene.order() for _ in range(3)] == [[("web", [A.key])]] * 3
        await until(lambda: scene.state().endpoints == 1)
        assert caplog.text.count("no room") == 1
        assert scene.state().refusal == ""

    play(monkeypatch, steps)


def test_a_bug_in_a_source_is_a_failure_and_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(scene: Scene) -> None:
        scene.discoverer.update(config(web=of()))
        scene.says("web", ValueError("x"))
        await until(lambda: scene.state().failure == "a bug: ValueError: x")
        scene.says("web", Answer((A,)))
        assert await scene.order() == [("web", [A.key])]

    play(monkeypatch, steps)


def test_a_source_that_stays_is_not_disturbed_and_one_that_goes_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(scene: Scene) -> None:
        scene.discoverer.update(config(web=of(), mail=of()))
        first, mail = Played.made["web"], Played.made["mail"]
        scene.says("web", Answer((A,)))
        await scene.order()
        await until(lambda: scene.state().endpoints == 1)
        scene.discoverer.update(config(web=of(hold_s=1.0)))
        await until(lambda: not mail.is_running)
        assert Played.made["web"] is first
        scene.discoverer.update(config(web=of("other")))
        await until(lambda: not first.is_running)
        assert Played.made["web"] is not first
        assert (scene.state().source, scene.state().endpoints) == ("other", 1)  # until the new source says otherwise

    play(monkeypatch, steps)


def test_what_was_served_before_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control was killed: its successor does not take away what its sources have not said yet."""

    async def steps(scene: Scene) -> None:
        scene.discoverer.update(config(web=of()))
        assert (scene.state().standing, scene.state().endpoints) == (Standing.STALE, 2)
        scene.says("web", SourceFailure("no answer"))
        scene.says("web", Answer((B, A)))
        await until(lambda: scene.state().standing is Standing.FRESH)
        assert scene.orders.empty()

    play(monkeypatch, steps, DiscoveredPool("web", (A, B)), DiscoveredPool("web", (), by="autoscaler"))


def test_files_are_looked_at_by_another_process_where_control_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(scene: Scene) -> None:
        files = FileFeed()
        Discoverer(asyncio.get_running_loop(), scene.submit, scene.events, (), files).update(config(web=of()))
        assert Played.made["web"].files is files

    play(monkeypatch, steps)
