"""Background tasks are kept alive, and their exceptions are logged."""

import asyncio
import gc
import logging

import pytest

from balance.background_tasks import spawn


def test_a_crash_is_logged_under_the_tasks_name(caplog: pytest.LogCaptureFixture) -> None:
    async def crash() -> None:
        raise ValueError("broken pipe dream")

    async def main() -> None:
        task = spawn(crash(), "the dreamer")
        await asyncio.wait([task])
        await asyncio.sleep(0)  # done callbacks run one turn later

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == ["the dreamer crashed: ValueError: broken pipe dream"]


def test_a_cancelled_task_is_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        task = spawn(asyncio.sleep(60), "a sleeper")
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert not caplog.records


def test_a_task_that_nobody_holds_still_runs_to_its_end() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()

        async def work() -> None:
            await asyncio.sleep(0)
            gc.collect()
            await asyncio.sleep(0)
            done.set_result("done")

        spawn(work(), "nobody's")
        return await asyncio.wait_for(done, 5)

    assert asyncio.run(main()) == "done"
