"""One document for all streams, bounded memory for slow ones, and nothing made while nobody looks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from balance.admin.dashboard import feed as module
from balance.admin.dashboard.feed import FRAMES, MAX_STREAMS, Feed
from balance.admin.dashboard.state.merge_patch import patched
from balance.admin.state_view import StateView
from balance.runtime import counters


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    monkeypatch.setattr(module, "COST_FACTOR", 0)


def always() -> bool:
    return True


def test_the_first_document_and_what_changes_are_the_last_document(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        feed.interval_s = 0.01
        reader = feed.open(always)
        assert reader is not None
        found = await reader.next(5)
        assert found is not None and found[0] is not None
        document = json.loads(found[0])
        for number in range(5):
            view.board.rows[0][counters.block(1) + counters.LEASES] += number
            found = await reader.next(5)
            assert found is not None and found[0] is None
            for frame in found[1]:
                changes = json.loads(frame.data)
                assert changes["seq"] == frame.seq == document["seq"] + 1
                document = patched(document, changes)
            _, whole = feed.whole()
            assert document == json.loads(whole)
        reader.close()

    asyncio.run(run())


def test_eight_streams_share_one_document(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = Feed._make
    monkeypatch.setattr(Feed, "_make", lambda self, mono: (made.append(mono), make(self, mono))[1])

    async def run() -> None:
        feed = Feed(view)
        feed.interval_s = 0.01
        readers = [feed.open(always) for _ in range(8)]
        for each in readers:
            assert each is not None and await each.next(5) is not None
        assert len(made) == 1
        frames = [await each.next(5) for each in readers if each is not None]
        assert all(found is not None and found[1][0].data is frames[0][1][0].data for found in frames)  # type: ignore[index]
        for each in readers:
            assert each is not None
            each.close()
        count = len(made)
        await asyncio.sleep(0.05)
        assert (len(made), feed.streams) == (count, 0)  # nobody looks

    asyncio.run(run())


def test_a_reader_that_falls_behind_gets_the_whole_anew_and_no_queue(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        feed.interval_s = 0.005
        slow, quick = feed.open(always), feed.open(always)
        assert slow is not None and quick is not None
        await slow.next(5)
        await quick.next(5)
        for _ in range(FRAMES + 3):
            found = await quick.next(5)
            assert found is not None and found[0] is None
        assert len(feed._frames) == FRAMES
        late = await slow.next(5)
        assert late is not None and late[0] is not None
        assert json.loads(late[0])["seq"] == late[1][0].seq
        slow.close()
        quick.close()

    asyncio.run(run())


def test_streams_are_bounded_and_a_place_is_given_back(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        readers = [feed.open(always) for _ in range(1000)]
        assert [each is not None for each in readers].count(True) == MAX_STREAMS
        assert readers[0] is not None
        with readers[0]:
            pass
        again = feed.open(always)
        assert again is not None
        feed.end_all("closing")
        assert (feed.streams, again.ended, await again.next(1)) == (0, "closing", None)

    asyncio.run(run())


def test_who_may_look_no_more_is_ended(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        feed.interval_s = 0.01
        is_signed_in = [True]
        reader = feed.open(lambda: is_signed_in[0])
        assert reader is not None
        is_signed_in[0] = False
        found: Any = ()
        while found is not None:
            found = await reader.next(5)
        assert reader.ended == "session"

    asyncio.run(run())


def test_a_costly_document_comes_less_often(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COST_FACTOR", 1_000_000)
    monkeypatch.setattr(module, "MAX_INTERVAL_S", 4.0)
    feed = Feed(view)
    for now in range(1, 12):
        feed._make(float(now))
    assert 3.0 < feed.interval_s <= 4.0
