"""Jobs on threads: results come back on the loop, failures too, and their number is bounded."""

from __future__ import annotations

import asyncio
import threading

from stage import Stage, until

from balance.proxy.net.job_threads import MAX_JOBS, JobThreads


async def test_results_come_back_on_the_loop_and_the_number_is_bounded(stage: Stage) -> None:
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    jobs, gate, results, seen = JobThreads(loop), threading.Event(), [], set()

    def job() -> object:
        gate.wait(10)
        seen.add(threading.get_ident())
        return 7

    def done(result: object) -> None:
        results.append((result, threading.get_ident() == here))

    taken = [jobs.run(job, done) for _ in range(MAX_JOBS + 5)]
    assert taken == [True] * MAX_JOBS + [False] * 5
    gate.set()
    await until(lambda: len(results) == MAX_JOBS)
    assert set(results) == {(7, True)}
    assert here not in seen
    assert jobs.run(job, done)


async def test_a_job_that_fails_is_told_and_answers_none(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    ended = loop.create_future()
    assert JobThreads(loop).run(lambda: 1 / 0, ended.set_result)
    assert await asyncio.wait_for(ended, 10) is None
    await asyncio.sleep(0)
    assert [type(each) for each in told] == [ZeroDivisionError]
