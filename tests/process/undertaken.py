"""An instance of which only the decisions are real: its children are born without a fork, and do what a test says."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from seating import seat

from balance.config.model import AdminConfig, BackendConfig, Config, ListenerConfig, MetricsConfig, PoolConfig
from balance.model import Address, Mode
from balance.process.board import Board
from balance.process.child import Child, Life, Report
from balance.process.estate import Estate
from balance.process.generation import Generation
from balance.process.line import End, Message, line
from balance.process.locks import Locks
from balance.process.openings import inode, open_all
from balance.process.post import Post
from balance.process.staff import Staff
from balance.process.tenancy import Tenancy
from balance.process.undertaking import Undertaking
from balance.process.words import END
from balance.runtime.slots import SlotBook
from balance.side.steering import Verdict

LOCAL = Address("127.0.0.1", 0)


def configured(*backends: str, workers: int = 2, **changes: Any) -> Config:
    """A listener, an admin port and a pool of these backends."""
    return Config(
        listeners=(ListenerConfig("main", (LOCAL,), Mode.HTTP, "web"),),
        pools=(PoolConfig("web", tuple(BackendConfig(name, Address("127.0.0.1", 1)) for name in backends)),),
        workers=workers,
        admin=AdminConfig(address=LOCAL),
        metrics=MetricsConfig(address=None),
        **changes,
    )


class Hands(Staff):
    """Nobody is forked."""

    def __init__(self, workers: int, inodes: Callable[[int | None], frozenset[int]], board: Board) -> None:
        self.bodies: dict[Child, Callable[[Report], int]] = {}
        self.theirs: dict[Child, End] = {}  # the children's ends of their lines
        self.refusal: OSError | None = None  # why no more children are born
        self._next_pid = 4_000_000  # more than any real one

        rows = Tenancy(board, Locks())
        super().__init__(
            workers, lambda child, report: 0, lambda child, report: 0, selectors.DefaultSelector(), rows, inodes, print
        )

    def launch(self, child: Child, body: Callable[[Report], int]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._next_pid += 1
        child.pid, child.life = self._next_pid, Life.STARTING
        child.end, self.theirs[child] = line()
        self.bodies[child] = body
        self.others.append(child)


class Scene:
    """Two workers and control that are ready, and one undertaking."""

    def __init__(self, config: Config, monkeypatch: pytest.MonkeyPatch, max_slots: int = 8, max_rows: int = 8) -> None:
        self.killed: list[Child] = []
        self.verdicts: list[Verdict] = []
        self.spoken: list[Generation] = []  # whose log was begun
        monkeypatch.setattr(Child, "kill", lambda child: self.killed.append(child) if child.life is not Life.GONE else None)
        place = seat(max_slots=max_slots, max_rows=max_rows)
        openings = open_all(config)
        book = SlotBook(max_slots)
        assignment = book.assign(config, place.board.is_unused)
        generation = replace(place.generation, config=config, slots=assignment.slots)
        self.estate = Estate(
            replace(place, history=()), Hands(config.workers, self._inodes, place.board), book, self.spoken.append
        )
        self.estate.settle(generation, assignment, openings)
        for post in self.staff.posts:
            self.ready(self.staff.fill(post))

    def _inodes(self, slot: int | None) -> frozenset[int]:
        return frozenset(inode(sock) for _, sock in self.estate.seat.openings.of(slot))

    @property
    def staff(self) -> Hands:
        staff = self.estate.staff
        assert isinstance(staff, Hands)
        return staff

    @property
    def control(self) -> Child:
        assert self.staff.control.child is not None
        return self.staff.control.child

    def worker(self, number: int) -> Child:
        child = self.staff.workers[number].child
        assert child is not None
        return child

    @property
    def standing(self) -> list[Child]:
        return [post.child for post in self.staff.posts if post.child is not None]

    @property
    def number(self) -> int:
        """Of the configuration that is served."""
        return self.estate.seat.generation.number

    def ready(self, child: Child, undertaking: Undertaking | None = None, now: float = 0.0) -> None:
        """The child says so, and the supervisor hears it."""
        child.life = Life.READY
        if undertaking is not None:
            undertaking.became_ready(child, now)

    def dies(self, child: Child, undertaking: Undertaking, words: str = "it was killed", now: float = 0.0) -> Post | None:
        """As the supervisor sees it; the post that is vacant."""
        child.life = Life.GONE
        child.hang_up()
        vacant = next((post for post in self.staff.posts if post.child is child), None)
        if vacant is not None:
            vacant.child = None
        else:
            self.staff.others.remove(child)
        undertaking.departed(child, words, now)
        return vacant

    def told(self, child: Child) -> list[Message]:
        """What was said to the child since this was asked last."""
        return self.staff.theirs[child].heard()[0]

    def kinds(self, child: Child) -> list[str]:
        return [message.kind for message in self.told(child)]

    def limit(self, child: Child) -> float | None:
        """Within what time it was told to end, if it was."""
        return next((message.data for message in self.told(child) if message.kind == END), None)

    @property
    def verdict(self) -> Verdict:
        """The only one."""
        (verdict,) = self.verdicts
        return verdict

    def close(self) -> None:
        for child, end in self.staff.theirs.items():
            child.hang_up()
            end.close()
        self.estate.seat.openings.close()
