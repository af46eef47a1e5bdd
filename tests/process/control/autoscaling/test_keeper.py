"""The keeper alone: whatever its processes do, it goes on answering."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from balance.process.control.autoscaling.keeper import LIST_PART, MAX_PACKET
from balance.process.control.autoscaling.keeper_client import _PROGRAM

pytestmark = pytest.mark.long
PATIENCE_S = 20.0


class Kept:
    """A keeper, and the end of its socket that gives orders."""

    def __init__(self) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.settimeout(PATIENCE_S)
        with theirs:
            command = [sys.executable, "-c", _PROGRAM, str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True)

    def start(self, name: str, *argv: str) -> None:
        order = {"op": "start", "name": name, "pool": "web", "port": 1, "recipe": "r", "argv": argv, "env": {}}
        self.line.send(json.dumps(order).encode())

    def processes(self) -> list[dict[str, Any]]:
        """The next list that is whole."""
        self.line.send(b'{"op": "list"}')
        found: list[dict[str, Any]] = []
        while True:
            event = json.loads(self.line.recv(MAX_PACKET))
            if event["event"] == "list":
                assert event["from"] == len(found)
                assert len(event["processes"]) <= LIST_PART
                found += event["processes"]
                if len(found) == event["of"]:
                    return found

    def until_ended(self, name: str) -> str:
        """The status that it ends with."""
        while True:
            (status,) = [each["status"] for each in self.processes() if each["name"] == name]
            if status:
                return str(status)


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    kept.line.close()
    assert kept.process.wait(PATIENCE_S) == 0


def test_a_list_of_many_comes_in_parts(kept: Kept) -> None:
    name = "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 60
    for number in range(2 * LIST_PART + 50):
        kept.start(f"{name}/{number}", "/nonexistent/program")
    found = kept.processes()
    assert [each["name"] for each in found] == [f"{name}/{number}" for number in range(2 * LIST_PART + 50)]
    assert {each["status"] for each in found} == {"can't be run: No such file or directory"}


def test_none_are_a_list_too(kept: Kept) -> None:
    assert kept.processes() == []


def test_what_a_program_leaves_behind_writing_does_not_hold_it(kept: Kept) -> None:
    """In its own group, which is killed, and in another, which nobody reads any more."""
    kept.start("web/1", "sh", "-c", "yes & yes & yes & setsid sh -c 'exec timeout 5 yes' & exit 3")
    assert kept.until_ended("web/1") == "exit status 3"
    assert kept.processes()
