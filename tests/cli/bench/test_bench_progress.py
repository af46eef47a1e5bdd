from __future__ import annotations

import contextlib
import io
import os
import pty

import pytest

from balance.cli.bench.children import Progress
from balance.cli.bench.plan import Plan, Target
from balance.cli.bench.progress import ProgressLine

PLAN = Plan(Target.parse("h:1"), 1, requests=100)


def test_nothing_is_written_where_there_is_no_terminal() -> None:
    """k6#1580."""
    stream = io.StringIO()
    line = ProgressLine(PLAN, stream)
    line.show(Progress(1, 0), True)
    line.clear()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("term", "is_shown"), [("xterm", True), ("dumb", False), (None, False)])
def test_a_terminal_that_can_go_back_has_one_line(term: str | None, is_shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        line = ProgressLine(PLAN, stream)
        line.show(Progress(0, 0), False)
        line._drawn = 0.0
        line.show(Progress(50, 3), True)
        line.clear()
    text = ""
    with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
        while data := os.read(master, 4096):
            text += data.decode()
    os.close(master)
    assert ("connecting to tcp://h:1" in text) is is_shown
    assert ("[############............]  50%  50 replies  3 errors" in text) is is_shown
    assert "\n" not in text
    assert text.endswith("\r\x1b[K") is is_shown
