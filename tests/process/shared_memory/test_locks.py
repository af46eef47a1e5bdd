"""A lock per backend, held by processes and by nobody longer than they live."""

import os
import signal
from collections.abc import Callable

from balance.process.shared_memory.locks import Locks


def child(work: Callable[[int, int], None]) -> tuple[int, int, int]:
    """A forked child that works with two pipes: (pid, where it reads, what it writes to)."""
    to_child, from_child = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work(to_child[0], from_child[1])
        finally:
            os._exit(0)
    os.close(to_child[0])
    os.close(from_child[1])
    return pid, to_child[1], from_child[0]


def hold(locks: Locks) -> Callable[[int, int], None]:
    def work(told: int, tell: int) -> None:
        os.write(tell, b"+" if locks.take(7) else b"-")
        os.read(told, 1)
        locks.leave(7)
        os.write(tell, b"left")
        os.read(told, 1)

    return work


def test_one_process_holds_it_and_others_hold_others() -> None:
    locks = Locks()
    pid, tell, told = child(hold(locks))
    assert os.read(told, 1) == b"+"
    assert not locks.take(7)
    assert locks.take(8)
    os.write(tell, b"x")
    assert os.read(told, 4) == b"left"
    assert locks.take(7)
    os.write(tell, b"x")
    os.waitpid(pid, 0)


def test_the_lock_of_a_process_that_is_killed_is_free() -> None:
    locks = Locks()
    pid, _, told = child(hold(locks))
    assert os.read(told, 1) == b"+"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert locks.take(7)


def test_a_count_under_the_lock_loses_nothing_over_processes() -> None:
    import mmap

    locks, rounds = Locks(), 2000
    cell = memoryview(mmap.mmap(-1, 4096)).cast("Q")

    def work(told: int, tell: int) -> None:
        for _ in range(rounds):
            while not locks.take(3):
                pass
            cell[0] += 1
            locks.leave(3)

    for pid in [child(work)[0] for _ in range(3)]:
        os.waitpid(pid, 0)
    assert cell[0] == 3 * rounds
