"""What the supervisor holds: one step makes another configuration the one that everybody is born into."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from dataclasses import replace

import pytest
from seating import seat

from balance.config.model import AdminConfig, BackendConfig, Config, ListenerConfig, MetricsConfig, PoolConfig
from balance.health.states import State
from balance.model import Address, Mode
from balance.process.child import Child, Life
from balance.process.estate import Estate
from balance.process.generation import KEPT, Generation
from balance.process.line import line
from balance.process.openings import Openings, open_all
from balance.process.staff import Staff
from balance.process.tenancy import Tenancy
from balance.process.words import REOPEN
from balance.runtime import cells
from balance.runtime.slots import SlotBook


@pytest.fixture
def estate() -> Iterator[Estate]:
    """An instance that serves b1 and b2, with room for one backend more, and nobody is born."""
    place = seat(2, max_slots=5)
    with selectors.DefaultSelector() as selector:
        rows = Tenancy(place.board, place.locks)
        staff = Staff(2, lambda child, report: 0, lambda child, report: 0, selector, rows, lambda slot: frozenset(), print)
        book = SlotBook(5)
        book.adopt(book.assign(place.config, place.board.is_unused))
        yield Estate(place, staff, book, lambda generation: None)


def configured(before: Config, *names: str, shift: int = 0) -> Config:
    backends = tuple(BackendConfig(name, Address("127.0.0.1", 9000 + shift + int(name[1:]))) for name in names)
    return replace(before, pools=(replace(before.pools[0], backends=backends),))


def settled(estate: Estate, *names: str, shift: int = 0) -> None:
    before = estate.seat.generation
    config = configured(before.config, *names, shift=shift)
    assignment = estate.book.assign(config, estate.seat.board.is_unused)
    after = replace(before, number=before.number + 1, config=config, slots=assignment.slots)
    estate.settle(after, assignment, Openings((), (), ()))


def test_who_is_born_next_finds_the_new_configuration_and_its_slots(estate: Estate) -> None:
    before = estate.seat
    settled(estate, "b2", "b3")
    assert estate.seat.generation.number == estate.seat.board.generation == 2
    assert estate.seat.slots == {("web", "b2"): 2, ("", "main"): 3, ("web", "b3"): 4}
    assert estate.seat.board.slots == 5
    assert [generation.number for generation in estate.seat.history] == [1, 2]
    assert before.generation.number == 1  # whoever was given that seat still has it


def test_only_so_many_configurations_are_remembered(estate: Estate) -> None:
    for number in range(KEPT + 5):
        settled(estate, *(("b1",) if number % 2 else ("b1", "b2", "b3")))
        settled(estate, *(("b1",) if number % 2 else ("b1", "b2", "b3")))  # changes nothing, and pushes nothing out
    assert [generation.number for generation in estate.seat.history] == list(range(13, 13 + 2 * KEPT, 2))


@pytest.mark.parametrize(("state", "after"), [(State.DRAINING, (State.DRAINING, 7.0)), (State.UNHEALTHY, (State.UNKNOWN, 0.0))])
def test_an_operator_s_word_on_a_backend_holds_when_its_address_changes(
    estate: Estate, state: State, after: tuple[State, float]
) -> None:
    board = estate.seat.board
    board.set_state(1, state, 7.0, "so it is")
    settled(estate, "b1", shift=100)
    slot = estate.seat.slots["web", "b1"]
    assert slot != 1
    assert board.state(slot) == after
    assert board.reason(slot) == ("so it is" if state is State.DRAINING else "")


def test_a_backend_that_was_taken_out_comes_back_as_one_that_nothing_is_known_of(estate: Estate) -> None:
    board = estate.seat.board
    board.set_state(1, State.MAINTENANCE, 7.0, "an order")
    settled(estate, "b2")
    settled(estate, "b1", "b2")
    assert estate.seat.slots["web", "b1"] == 1
    assert (board.state(1), board.reason(1)) == ((State.UNKNOWN, 0.0), "")


def test_a_slot_that_another_backend_gets_is_cleared_and_those_that_stay_are_not(estate: Estate) -> None:
    board = estate.seat.board
    settled(estate, "b2", "b3")
    for slot in (1, 2):
        board.set_state(slot, State.UNHEALTHY, 1.0, "so it was")
        board.rows[0][cells.block(slot) + cells.LEASES] = 5
    settled(estate, "b2", "b3", "b4")
    assert estate.seat.slots["web", "b4"] == 1
    assert [board.state(slot)[0] for slot in (1, 2)] == [State.UNKNOWN, State.UNHEALTHY]
    assert [board.rows[0][cells.block(slot) + cells.LEASES] for slot in (1, 2)] == [0, 5]


def test_what_the_kernel_chose_for_port_0_is_told_in_plain_words(estate: Estate) -> None:
    local = Address("127.0.0.1", 0)
    config = Config(
        (
            ListenerConfig("main", (local,), Mode.HTTP, "web"),
            ListenerConfig("fixed", (Address("127.0.0.1", 1),), Mode.HTTP, "web"),
        ),
        (PoolConfig("web", ()),),
        admin=AdminConfig(address=local),
        metrics=MetricsConfig(address=None),
    )
    openings = open_all(replace(config, listeners=config.listeners[:1]))
    estate.seat = replace(estate.seat, history=(replace(estate.seat.generation, config=config),), openings=openings)
    main, admin = openings.listeners[0], openings.admin[0]
    assert estate.any_port() == {
        ("main", "127.0.0.1:0"): f"127.0.0.1:{main.address.port}",
        ("admin", "127.0.0.1:0"): f"127.0.0.1:{admin.address.port}",
    }
    openings.close()
    os.close(estate.seat.board.fd)


def test_every_process_is_told_to_begin_its_logs_anew_also_one_that_leaves(estate: Estate) -> None:
    spoken: list[Generation] = []
    estate.logs_to = spoken.append
    staff = estate.staff
    children = [Child("worker 0", 0, 0), Child("worker 0", 0, 1), Child("control"), Child("loader")]
    theirs = []
    for child in children:
        child.life = Life.READY
        child.end, end = line()
        theirs.append(end)
    staff.workers[0].child, leaving, staff.control.child, loader = children
    staff.others += [leaving, loader]
    estate.reopen_logs()
    assert [[message.kind for message in end.heard()[0]] for end in theirs] == [[REOPEN], [REOPEN], [REOPEN], []]
    assert spoken == [estate.seat.generation]
    for child, end in zip(children, theirs, strict=True):
        child.hang_up()
        end.close()
