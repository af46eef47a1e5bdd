"""Sessions of HTTP/2, compiled and as Python, say the same to their shells and to their peers, however what came was split."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from session_dice import Peer
from session_verdicts import LIMITS
from test_same_verdicts import Sources
from verdicts import Job, verdict

KINDS = [f"session {role} {limits}" for role in ("server", "client") for limits in LIMITS]


@pytest.fixture(scope="module")
def sources() -> Iterator[Sources]:
    child = Sources()
    yield child
    child.end()


def job(dice: random.Random) -> Job:
    kind = dice.choice(KINDS)
    data = Peer(dice, is_client="server" in kind).all()
    return Job(kind, data, tuple(dice.randrange(1, len(data) + 2) for _ in range(dice.choice((0, 1, 2, 5, 40)))))


def disagreements(sources: Sources, seed: int, count: int) -> list[tuple[Job, str, str]]:
    dice = random.Random(seed)
    found = []
    for _ in range(0, count, 100):
        jobs = [job(dice) for _ in range(100)]
        ours = [verdict(each) for each in jobs]
        theirs = sources.verdicts(jobs)
        found += [(each, here, there) for each, here, there in zip(jobs, ours, theirs, strict=True) if here != there]
    return found


def splits_that_matter(seed: int, count: int) -> list[Job]:
    """Of bytes that come at once and in pieces, those that are read in two ways; by then the memories are filled, too."""
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        each = job(dice)
        calm = Job(f"{each.kind} calm", each.data)
        if verdict(calm) != verdict(Job(calm.kind, calm.data, each.cuts)):
            found.append(each)
    return found


def test_dice_find_no_difference(sources: Sources) -> None:
    assert disagreements(sources, 1, 600) == []


def test_however_it_is_split_it_is_read_in_one_way() -> None:
    assert splits_that_matter(2, 400) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 13))
def test_many_dice_find_no_difference(sources: Sources, seed: int) -> None:
    assert disagreements(sources, seed, 2000) == []
    assert splits_that_matter(100 + seed, 500) == []


def test_the_dice_reach_all_that_can_be_said() -> None:
    """A fuzz that ends at the first frame proves nothing."""
    dice = random.Random(1)
    said: Counter[str] = Counter()
    for _ in range(800):
        text = verdict(job(dice))
        assert not text.startswith("raised"), text
        said.update(call.partition(" ")[0] for call in text.split("; "))
    calls = ("request", "too", "response", "content", "trailers", "reset", "unprocessed", "going", "settings", "fault")
    assert {call: said[call] for call in calls if said[call] < 20} == {}
    assert said["fault"] < 600
