"""What an instance counts on: new with room for growth, or the one before's while that has room."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from handover_states import descriptor_count, handover_state_from

from balance.config.model import BackendConfig, Config, ListenerConfig, PoolConfig
from balance.health.states import State
from balance.model import Address, Mode
from balance.process.supervisor.shared_state import MIN_SLOTS, SharedState, create_shared_state
from balance.runtime import counters


def configured(*names: str, workers: int = 2) -> Config:
    backends = tuple(BackendConfig(name, Address("127.0.0.1", 1)) for name in names)
    listener = ListenerConfig("main", (Address("127.0.0.1", 0),), Mode.HTTP, "web")
    return Config((listener,), (PoolConfig("web", backends),), workers=workers)


MAPPED = 1  # a mapping has a descriptor of its own


@pytest.fixture
def before() -> Iterator[SharedState]:
    """An instance that serves `a` and `b`, and has found `b` unhealthy."""
    made = create_shared_state(configured("a", "b"), None)
    made.book.adopt(made.assignment)
    made.board.use_slots(made.assignment.used)
    made.board.set_state(2, State.UNHEALTHY, 1.0)
    made.board.use_row(0)
    made.board.rows[0][counters.CONNECTIONS] = 5
    yield made
    os.close(made.board.fd)
    os.close(made.locks.fileno())


def test_a_new_one_has_room_for_twice_as_many_of_everything() -> None:
    names = [f"b{number}" for number in range(MIN_SLOTS)]
    made = create_shared_state(configured(*names, workers=40), None)
    assert made.board.max_rows > 80
    made.book.adopt(made.assignment)
    found = made.book.assign(configured(*(f"new-{name}" for name in names)), made.board.is_unused)
    assert (len(found.slots), found.reused) == (len(names) + 1, frozenset())  # the listener has one, too
    os.close(made.board.fd)
    os.close(made.locks.fileno())


def test_inherited_state_keeps_counters_states_slots_and_locks(before: SharedState) -> None:
    made = create_shared_state(configured("b", "c"), handover_state_from(before))
    assert made.assignment.slots == {("web", "b"): 2, ("", "main"): 3, ("web", "c"): 4}
    assert made.board.state(2)[0] is State.UNHEALTHY
    before.board.rows[0][counters.CONNECTIONS] += 1  # its workers count on
    assert made.board.rows[0][counters.CONNECTIONS] == 6
    assert os.path.samestat(os.fstat(made.locks.fileno()), os.fstat(before.locks.fileno()))
    os.close(made.board.fd)
    os.close(made.locks.fileno())


@pytest.mark.parametrize(
    ("change", "config", "said"),
    [
        ({"has_same_layout": False}, configured("a"), "the instance before this one counted otherwise"),
        ({"max_rows": 6}, configured("a", workers=4), "the instance before this one had no room for 4 workers"),
        ({"max_slots": 5}, configured("c", "d"), "2 backends, besides 2 that go .* than the 4 "),  # fewer are mapped then
    ],
)
def test_state_that_cannot_be_inherited_is_created_anew_with_a_warning(
    before: SharedState, change: dict[str, object], config: Config, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    handover_state = replace(handover_state_from(before), **change)  # type: ignore[arg-type]
    made = create_shared_state(config, handover_state)
    assert made.board.states() == [0]
    assert list(made.assignment.slots.values()) == list(range(1, 2 + len(config.pools[0].backends)))
    assert [descriptor_count(fd) for fd in (before.board.fd, before.locks.fileno())] == [1 + MAPPED, 1]
    (told,) = caplog.messages
    assert re.fullmatch(f"{said}.*: counters and the states of backends begin anew", told)
    os.close(made.board.fd)
    os.close(made.locks.fileno())
