"""How many clients a worker has descriptors for."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from balance.proxy.descriptor_limit import MAX_RESERVE, UNLIMITED, DescriptorLimit, in_use, reserve


def test_what_is_open_is_counted() -> None:
    before = in_use()
    assert before is not None
    fds = [os.dup(0) for _ in range(3)]
    assert in_use() == before + 3
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize(("limit", "kept"), [(64, 8), (256, 16), (1024, 64), (1 << 20, MAX_RESERVE)])
def test_some_are_kept_for_what_must_go_on(limit: int, kept: int) -> None:
    assert reserve(limit) == kept


@pytest.mark.pure
def test_a_client_counts_for_two_and_what_the_process_has_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.proxy.descriptor_limit.in_use", lambda: 20)
    descriptors = DescriptorLimit(20 + 100 + 8)
    assert descriptors.reserve == 8
    descriptors.measure()
    assert descriptors.most == 50
    descriptors.clients, descriptors.upstreams = 10, 6  # as if those were among the open ones
    descriptors.measure()
    assert descriptors.most == 58


def test_there_is_always_room_for_one() -> None:
    descriptors = DescriptorLimit(8)
    descriptors.measure()
    assert descriptors.most == 1


def test_no_limit_is_a_large_one() -> None:
    assert DescriptorLimit(resource.RLIM_INFINITY).limit == UNLIMITED


def test_more_connections_to_backends_than_clients_cost_parked_ones() -> None:
    made = []
    descriptors = DescriptorLimit(1024)
    descriptors.most = 2
    descriptors.make_room = lambda: made.append(descriptors.upstreams)
    for _ in range(3):
        descriptors.dialling()
    assert made == [3]


def test_a_process_that_is_nearly_full_knows_it() -> None:
    """In a process of its own, which has few open: half of the least reserve, 4, is what counts as next to none."""
    code = (
        "import os; from balance.proxy.descriptor_limit import is_short\n"
        "lowest = os.dup(0); os.close(lowest); print(is_short(lowest + 4), is_short(lowest + 5))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True False\n"
