"""Reading stops and goes on, once each, and never on a connection that is closing."""

import asyncio
from typing import cast

from balance.proxy.net.backpressure import Backpressure


class Noting:
    """A transport that notes what it is told; telling it twice is what some transports refuse."""

    def __init__(self, is_closing: bool = False) -> None:
        self.told: list[str] = []
        self._is_closing = is_closing

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


def reading(transport: Noting) -> Backpressure:
    made = Backpressure()
    made.transport = cast(asyncio.Transport, transport)
    return made


def test_every_pause_has_one_resume() -> None:
    transport = Noting()
    end = reading(transport)
    end.resume()
    end.pause()
    end.pause()
    assert end.is_paused
    end.resume()
    end.resume()
    assert not end.is_paused
    assert transport.told == ["pause", "resume"]


def test_connection_that_is_closing_is_told_nothing() -> None:
    transport = Noting(is_closing=True)
    end = reading(transport)
    end.pause()
    end.resume()
    assert transport.told == []
