"""What a process asks of the kernel about itself, asked by children of this test."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from balance.process.os_calls import (
    raise_file_limit,
    set_parent_death_signal,
    set_process_name,
)


def in_a_child(work: Callable[[], str]) -> str:
    """What `work` returns in a forked child."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writable, work().encode())
        finally:
            os._exit(0)
    os.close(writable)
    with open(readable, "rb") as file:
        text = file.read().decode()
    os.waitpid(pid, 0)
    return text


def test_a_process_is_called_what_it_is() -> None:
    def work() -> str:
        set_process_name("balance-control-of-many")
        return Path("/proc/self/comm").read_text()

    assert in_a_child(work) == "balance-control\n"


LARGE_AND_SMALL = """
import resource
from pathlib import Path
from balance.process.os_calls import TLS_BUFFER_BYTES, set_up_heap

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

set_up_heap()
bytearray(TLS_BUFFER_BYTES)  # freed at once: from here on glibc would have such blocks in its heap
before = memory()
large, small = [], []
for _ in range(100):
    large.append(bytearray(TLS_BUFFER_BYTES))
    small.append(bytearray(20_000))
large.clear()
print((memory() - before - sum(map(len, small))) // TLS_BUFFER_BYTES)
"""


def test_large_blocks_go_back_to_the_system_though_small_ones_that_came_later_stay() -> None:
    found = subprocess.run([sys.executable, "-c", LARGE_AND_SMALL], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 10


def test_the_file_limit_goes_as_far_as_it_may() -> None:
    def work() -> str:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        return f"{raise_file_limit() == hard} {resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard}"

    assert in_a_child(work) == "True True"


def test_a_child_ends_with_its_parent_however_that_dies() -> None:
    """A parent that is killed leaves a child that would wait for ever."""
    readable, writable = os.pipe()

    def work() -> str:
        parent = os.getpid()
        if os.fork() == 0:
            set_parent_death_signal(parent, signal.SIGKILL)
            os.write(writable, b"begun")
            while True:
                signal.pause()
        os.read(readable, 5)
        os.kill(parent, signal.SIGKILL)
        return ""

    in_a_child(work)
    os.close(writable)
    with open(readable, "rb") as file:
        assert file.read() == b""  # returns only when nobody holds the other end any more


def test_a_child_whose_parent_is_dead_already_does_not_begin() -> None:
    def work() -> str:
        set_parent_death_signal(os.getpid(), signal.SIGKILL)  # not our parent's number: as after a parent's death
        return "begun"

    assert in_a_child(work) == ""
