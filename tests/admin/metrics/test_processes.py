"""What /proc says, read for this very process and for one that is gone."""

import os

from balance.admin.metrics.processes import Usage, total, usage


def test_a_living_process_uses_memory_time_and_files() -> None:
    used = usage(os.getpid())
    assert used.cpu_s > 0
    assert 1_000_000 < used.memory_bytes < used.virtual_bytes
    assert used.open_fds >= 3


def test_a_process_that_is_gone_uses_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert usage(pid) == Usage()


def test_processes_are_added_up() -> None:
    assert total([Usage(1.5, 10, 100, 3), Usage(0.5, 20, 200, 4)]) == Usage(2.0, 30, 300, 7)
