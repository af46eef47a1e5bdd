"""`with UNCOUNTED:` around what a scenario does for the other end, which is no part of what is counted."""

from __future__ import annotations

from collections.abc import Callable


class Uncounted:
    """Does nothing until whoever counts says how to stop and go on."""

    def __init__(self) -> None:
        self.toggle: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        self.toggle()

    def __exit__(self, *_: object) -> None:
        self.toggle()


UNCOUNTED = Uncounted()
