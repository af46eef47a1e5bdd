"""Compiled modules make of bytes what their sources make of them: each is asked, about cases of the tables, bent by dice.

Where nothing is compiled the sources are compared with themselves, which proves the comparison alone: `cmd/check --compiled`.
"""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from request_cases import CASES
from response_cases import REPLY_CASES, STRICT_AND_TOLERANT, TOLERANT_TOO
from verdicts import KINDS, Job, verdict

HERE = Path(__file__).resolve().parent
REQUESTS = [case.sent for case in CASES]
REPLIES = [case.sent for case in (*REPLY_CASES, *STRICT_AND_TOLERANT, *TOLERANT_TOO)]
BODIES = [sent.partition(b"\r\n\r\n")[2] for sent in (*REQUESTS, *REPLIES) if b"chunked" in sent]
LINES = sorted({line for sent in (*REQUESTS, *REPLIES) for line in sent.split(b"\r\n") if b":" in line and len(line) < 200})
LINES += [
    b"X-Forwarded-For: 192.0.2.7, 10.0.0.1",
    b'Forwarded: for="[2001:db8::7]:80";proto=https, for=10.1.2.3',
    b"Cookie: x=1; x=2",
]
BYTES = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\0",
    b":",
    b",",
    b";",
    b"=",
    b"_",
    b"-",
    b"0",
    b"f",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"",
]
TARGETS = [b"/%2e%2e/a", b"//a/../b;c", b"/a?b=c&b=%20+", b"/%", b"/%c0%af", b"/a\\..\\b", b"/a/./b//c"]


class Sources:
    """The sources, in a process of their own."""

    def __init__(self) -> None:
        command = [sys.executable, str(HERE / "pure_child.py"), str(HERE.parent.parent)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def verdicts(self, jobs: list[Job]) -> list[str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        pickle.dump(jobs, self._process.stdin)
        self._process.stdin.flush()
        return cast(list[str], pickle.load(self._process.stdout))

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait() == 0


@pytest.fixture(scope="module")
def sources() -> Iterator[Sources]:
    child = Sources()
    yield child
    child.end()


def bent(dice: random.Random, data: bytes) -> bytes:
    """The data with up to three changes: a byte put in, taken out or replaced, a line more, a part twice or gone."""
    for _ in range(dice.choice((0, 1, 1, 2, 3))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                data = data[:at] + dice.choice(BYTES) + data[at:]
            case 1:
                data = data[:at] + dice.choice(BYTES) + data[at + 1 :]
            case 2:
                data = data[:at] + data[at + dice.choice((1, 1, 2, 9)) :]
            case 3:
                end = data.find(b"\r\n", at)
                if end >= 0:
                    data = data[: end + 2] + dice.choice(LINES) + b"\r\n" + data[end + 2 :]
            case 4:
                data = data[:at] + data[max(0, at - dice.randrange(30)) :]
            case 5:
                first, space, rest = data.partition(b" /")
                data = first + b" " + dice.choice(TARGETS) + rest if space else data
    return data


def job(dice: random.Random) -> Job:
    kind = dice.choice(list(KINDS))
    if kind.startswith("replies"):
        data = dice.choice(REPLIES)
    elif kind.startswith("chunks"):
        data = dice.choice(BODIES)
    elif kind.startswith("frames"):
        data = dice.randbytes(dice.randrange(200))
    else:
        data = dice.choice(REQUESTS)
    data = bent(dice, data)
    if kind.startswith("head"):
        data = data[: data.find(b"\r\n\r\n") + 4]
    return Job(kind, data, tuple(dice.randrange(1, len(data) + 2) for _ in range(dice.choice((0, 1, 2, 5, 40)))))


def disagreements(sources: Sources, seed: int, count: int) -> list[tuple[Job, str, str]]:
    dice = random.Random(seed)
    found = []
    for _ in range(0, count, 500):
        jobs = [job(dice) for _ in range(500)]
        ours = [verdict(each) for each in jobs]
        theirs = sources.verdicts(jobs)
        found += [(each, here, there) for each, here, there in zip(jobs, ours, theirs, strict=True) if here != there]
    return found


def test_no_difference_in_any_case_of_the_tables(sources: Sources) -> None:
    assert table_disagreements(sources, range(1, 600, 17)) == []


@pytest.mark.long
def test_no_difference_in_any_case_of_the_tables_split_at_any_byte(sources: Sources) -> None:
    assert table_disagreements(sources, range(1, 1200)) == []


def table_disagreements(sources: Sources, cuts: range) -> list[Job]:
    jobs = [Job("requests", sent, (cut,)) for sent in REQUESTS for cut in cuts if cut < len(sent)]
    for mode in ("", " tolerant"):
        jobs += [Job(f"replies{mode}", sent, (cut,)) for sent in REPLIES for cut in cuts if cut < len(sent)]
    ours = [verdict(each) for each in jobs]
    return [each for each, here, there in zip(jobs, ours, sources.verdicts(jobs), strict=True) if here != there]


def test_dice_find_no_difference(sources: Sources) -> None:
    assert disagreements(sources, 1, 4000) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_dice_find_no_difference(sources: Sources, seed: int) -> None:
    assert disagreements(sources, seed, 50_000) == []


def test_the_dice_reach_all_that_can_be_said() -> None:
    """A fuzz that is refused at the first byte proves nothing."""
    dice = random.Random(1)
    said = [(each.kind, verdict(each)) for each in (job(dice) for _ in range(3000))]
    for kind in KINDS:
        verdicts = [text for known, text in said if known == kind]
        assert len(set(verdicts)) > 20 or kind.startswith("frames"), kind
    refused = sum("refused" in text for _, text in said)
    assert 300 < refused < 2500
    assert not [text for _, text in said if text.startswith("raised")]
