"""A poll goes on, tells of changes on the loop, and does not pile up behind one that hangs."""

import asyncio
import threading

from balance.process.control.polling import Polling


def test_it_looks_again_and_again_and_tells_on_the_loop() -> None:
    async def run() -> None:
        looks = iter([False, True, False, True])
        told: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        polling = Polling(
            loop,
            "a",
            lambda: next(looks, False),
            lambda: told.put_nowait(threading.current_thread().name),
            is_needed=lambda: True,
            interval_s=0.01,
        )
        polling.start()
        async with asyncio.timeout(20):
            assert [await told.get(), await told.get()] == [threading.main_thread().name] * 2

    asyncio.run(run())


def test_what_is_not_needed_is_not_looked_at_and_what_hangs_is_waited_for() -> None:
    async def run() -> None:
        begun: list[str] = []
        held = threading.Event()
        loop = asyncio.get_running_loop()

        def hangs() -> bool:
            begun.append("hangs")
            held.wait(20)
            return True

        Polling(loop, "a", lambda: bool(begun.append("vain")), print, is_needed=lambda: False, interval_s=0.001).start()
        Polling(loop, "b", hangs, lambda: None, interval_s=0.001).start()
        await asyncio.sleep(0.05)
        assert begun == ["hangs"]
        held.set()

    asyncio.run(run())
