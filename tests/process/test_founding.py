"""How an instance begins: what its processes share, and what a child has right after the fork."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from legacies import holders, left_by
from running import Instance, Origin, until
from undertaken import configured

from balance.config.changes import BackendChange, Verb
from balance.config.source import Kind, Source
from balance.process.child import Child, Report
from balance.process.estate import Estate
from balance.process.founding import Founding
from balance.process.handover import Legacy
from balance.process.ledger import ledger
from balance.process.openings import inode, open_all

CONFIG = configured("b1", "b2")
SOURCE = Source(Kind.FILE, "f.yaml")
REMOVAL = BackendChange(Verb.REMOVE, "web", "b2")

Found = Callable[..., Estate]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[Found]:
    """Found instances in which nobody is born, and whose sockets are gone after the test."""
    monkeypatch.setattr("balance.process.founding.logs.speak_as", lambda config, name: None)
    with contextlib.ExitStack() as stack:

        def founded(let_go: Sequence[Callable[[], object]] = (), legacy: Legacy | None = None, **more: Any) -> Estate:
            openings = open_all(CONFIG)
            stack.callback(openings.close)
            selector = stack.enter_context(selectors.DefaultSelector())
            return Founding(CONFIG, SOURCE, openings, selector, let_go, legacy, **more).estate

        yield founded


def test_an_instance_begins_with_its_first_configuration_and_posts_for_all(found: Found) -> None:
    estate = found(is_watched=True)
    seat = estate.seat
    (generation,) = seat.history
    assert (generation.number, generation.origin, generation.changes) == (1, "start", ())
    assert (generation.config, generation.source) == (CONFIG, SOURCE)
    assert seat.slots == {("web", "b1"): 1, ("web", "b2"): 2, ("", "main"): 3}
    assert (seat.board.generation, seat.supervisor_pid, seat.is_watched) == (1, os.getpid(), True)
    assert len(seat.channels) == seat.board.max_rows
    assert [post.name for post in estate.staff.posts] == ["worker 0", "worker 1", "control"]
    assert estate.staff.everyone == []


def test_one_that_takes_over_counts_on_from_the_instance_before(found: Found) -> None:
    generation = found(legacy=left_by(ledger(CONFIG, None), changes=[REMOVAL])).seat.generation
    assert (generation.number, generation.origin, generation.changes) == (8, "upgrade", (REMOVAL,))


def test_a_child_has_nothing_that_is_the_supervisor_s_alone(found: Found) -> None:
    theirs = os.open("/dev/null", os.O_RDONLY)
    legacy = left_by(ledger(CONFIG, None))
    estate = found([lambda: os.close(theirs)], legacy)
    lifeline = estate.seat.lifeline
    assert holders(lifeline) == 2  # both ends

    def body(report: Report) -> int:
        with contextlib.suppress(OSError):
            os.fstat(theirs)
            return 1
        if holders(lifeline) != 1:
            return 2
        return 0 if legacy.ends[0].fileno() < 0 else 3

    child = Child("loader")
    estate.staff.launch(child, body)
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 0
    child.hang_up()
    os.fstat(theirs)
    os.close(theirs)
    legacy.hang_up()


def test_each_is_born_with_its_own_sockets_of_what_is_served_now(found: Found) -> None:
    estate = found()
    born: dict[str, Child] = {}

    def launch(child: Child, body: Callable[[Report], int]) -> None:
        born[child.name] = child

    estate.staff.launch = launch  # type: ignore[method-assign]
    for post in estate.staff.posts:
        estate.staff.born(post)
    openings = estate.seat.openings
    for name, slot in (("worker 0", 0), ("worker 1", 1), ("control", None)):
        assert born[name].inodes == {inode(sock) for _, sock in openings.of(slot)}
    assert len(frozenset().union(*(child.inodes for child in born.values()))) == len(openings.sockets)


@pytest.mark.drill
@pytest.mark.timeout(120)
def test_no_child_outlives_a_killed_supervisor(run: Callable[..., Instance], origins: Callable[..., Origin]) -> None:
    instance = run(backends=[{"address": origins().address}], mode="http", workers=2).ready()
    port = instance.port
    instance.process.kill()
    instance.process.wait()
    until(instance.group_is_empty, "the end of all children")
    socket.create_server(("127.0.0.1", port)).close()
