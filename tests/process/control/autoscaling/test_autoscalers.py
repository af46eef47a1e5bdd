"""Which autoscalers there are, as the configuration says and a reload changes it."""

from __future__ import annotations

import asyncio

from fake_instance import TEXT, FakeInstance

from balance.config import load_text
from balance.config.model import Config
from balance.process.control.autoscaling.autoscalers import Autoscalers
from balance.process.control.autoscaling.exec_driver import ExecDriver
from balance.process.control.autoscaling.kubernetes_driver import KubernetesDriver
from balance.process.control.autoscaling.process_driver import ProcessDriver
from balance.process.control.autoscaling.webhook_driver import WebhookDriver
from balance.runtime import counters


def config(app: str) -> Config:
    return load_text(TEXT.replace("  app:\n", f"  app:\n    autoscaler: {{enabled: true, dry_run: true, {app}}}\n"), "t").config


def made(instance: FakeInstance) -> Autoscalers:
    loop = asyncio.get_running_loop()
    scalers = Autoscalers(loop, instance.view, None, {}, (), lambda fd: None, lambda pool, last: None)
    scalers.start()
    return scalers


def test_each_pool_has_the_driver_that_it_says_when_it_is_enabled() -> None:
    async def run() -> None:
        instance = FakeInstance()
        scalers = made(instance)
        assert scalers.views() == []
        for text, kind in (
            ("driver: exec, command: [x]", ExecDriver),
            ("driver: webhook, url: 'http://x/'", WebhookDriver),
            ("driver: kubernetes, deployment: a/b", KubernetesDriver),
            ("command: [x, '{port}']", ProcessDriver),
        ):
            instance.view.config = config(text)
            scalers.update(instance.view.config)
            assert [each.pool for each in scalers.views()] == ["app"]
            assert type(scalers._scalers["app"][1].driver) is kind
        scalers.update(load_text(TEXT, "t").config)
        assert scalers.views() == [] and not scalers._drivers
        scalers.close()

    asyncio.run(run())


def test_a_reload_that_changes_nothing_of_it_disturbs_nothing() -> None:
    async def run() -> None:
        instance = FakeInstance()
        instance.view.config = config("driver: exec, command: [x]")
        scalers = made(instance)
        before = scalers._scalers["app"][1]
        scalers.update(config("driver: exec, command: [x]"))
        assert scalers._scalers["app"][1] is before
        scalers.update(config("driver: exec, command: [x], max: 7"))
        assert scalers._scalers["app"][1] is not before
        scalers.close()

    asyncio.run(run())


def test_a_pool_s_load_is_that_of_its_backends_over_all_workers() -> None:
    async def run() -> None:
        instance = FakeInstance()
        instance.view.config = config("driver: exec, command: [x], metric: latency")
        scalers = made(instance)
        slots = {name: instance.view.slots["app", name] for name in ("a1", "a2")}
        other = instance.view.slots["raw", "r1"]
        for worker, row in enumerate(instance.board.rows, 1):
            for slot in (*slots.values(), other):
                block = counters.block(slot)
                row[block + counters.LEASES] = 10 * worker
                row[block + counters.UPSTREAM_TIME + 3] = 4 * worker
                row[block + counters.UPSTREAM_TIME + counters.TIME_SUM] = 1000 * worker
                row[block + counters.ACTIVE] = worker
        found = scalers._counters("app")
        assert set(found) == set(slots.values())
        assert {tuple(each) for each in found.values()} == {(30, 12, 3000, 3, 0)}
        assert scalers._size("app").members == 2
        scalers.close()

    asyncio.run(run())
