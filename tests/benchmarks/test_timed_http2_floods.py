"""The floods of HTTP/2 that are timed are those that they are called: each ends as it says, by a session in memory."""

import sys
from itertools import islice
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "attacks"))

from http2_floods import FLOODS
from recording_handler import RecordingHandler

from balance.http2 import errors
from balance.http2.session import Session, SessionLimits

PIECES = 400


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_ended_for_what_it_does_or_is_not_ended_by_a_session(name: str) -> None:
    handler = RecordingHandler()
    session = handler.session = Session(handler, SessionLimits(), 0.0, is_server=True)
    for number, piece in enumerate(islice(FLOODS[name].pieces(), PIECES)):
        now = 0.001 * number
        more = session.feed(piece, now)
        while more:
            more = session.feed(b"", now)
        session.out.parts.clear()
        for kind, *rest in handler.told:
            if kind in ("reset", "too large"):
                session.release(handler.by_id[rest[0]], now)  # as a shell, whose exchanges end at once
        if session.is_closed:
            break
        handler.told = [call for call in handler.told if call[0] in ("fault", "many offences")]
    last = handler.told[-1] if handler.told else ("",)
    if FLOODS[name].ends:
        assert last[:2] == ("fault", errors.ENHANCE_YOUR_CALM)
        assert FLOODS[name].ends in last[2]
    else:
        assert (session.is_closed, last) == (False, ("",))
