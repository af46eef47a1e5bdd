"""`balance stop --wait`: when the instance has ended, and how.

The admin port goes before the end, so on the same machine the supervisor's process is waited for, by a descriptor that no other
process with its number can be taken for. From elsewhere the end of the admin port has to do. How it ended, it says itself: the
last of its events has what the end of the drain has cut.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import click

from balance.admin.metrics.processes import pid_namespace
from balance.cli.admin.admin_client import AdminClient, NoAnswerError, NobodyAnswersError
from balance.cli.admin.tables import REFUSED, refused, show_json
from balance.cli.admin.wait_option import WaitProgress
from balance.cli.main import INTERRUPTED
from balance.errors import BalanceError

LAST_WORD_S = 2.0  # from the end of the process to the last word's being read


class _LastWord:
    """Reads the instance's events aside, for the one that it ends with."""

    def __init__(self, port: AdminClient) -> None:
        self.cut: int | None = None  # in all, once it was said
        self.is_heard = False  # whether the events could be read
        with contextlib.suppress(click.ClickException, BalanceError):
            events = port.listen("0")
            self.is_heard = True
            self._thread = threading.Thread(target=self._listen, args=(events,), daemon=True)
            self._thread.start()

    def _listen(self, events: Iterator[tuple[str, dict[str, Any]]]) -> None:
        with contextlib.suppress(BalanceError, ValueError):
            for _, event in events:
                if event.get("stage") == "ended":
                    self.cut = event.get("cut")

    def wait(self) -> None:
        """Until no more can come."""
        if self.is_heard:
            self._thread.join(LAST_WORD_S)


class _End:
    """Whether the instance is there no more."""

    def __init__(self, port: AdminClient, status: dict[str, Any]) -> None:
        self._port = port
        self._pid: int = status["supervisor"]["pid"]
        self._poll = None
        here = pid_namespace()
        if here and port.is_of_this_machine and status["supervisor"].get("pid_namespace") == here:
            with contextlib.suppress(OSError):
                self._poll = select.poll()
                self._poll.register(os.pidfd_open(self._pid), select.POLLIN)

    def has_come_within(self, seconds: float) -> bool:
        """Wait so long for it."""
        if self._poll is not None:
            return bool(self._poll.poll(seconds * 1000))
        time.sleep(seconds)
        try:
            reply = self._port.ask("GET", "/status", expected="stage")
        except NobodyAnswersError:
            return True
        except NoAnswerError:
            return False
        return reply.is_done and reply.document["supervisor"]["pid"] != self._pid  # the next one has come meanwhile


def stop_and_wait(port: AdminClient, timeout_s: float | None, is_json: bool) -> int:
    """The exit status: 0 when it has ended by itself, 1 when something was cut, or when it has not ended in time."""
    status = port.ask("GET", "/status", expected="stage")
    if not status.is_done:
        return refused(status, is_json)
    end, last_word = _End(port, status.document), _LastWord(port)
    is_ordered = False
    try:
        reply = port.ask("POST", "/drain", expected="done")
        if not reply.is_done:
            return refused(reply, is_json)
        is_ordered = True
        with WaitProgress(timeout_s) as patience:
            while not end.has_come_within(patience.next_pause_s()):
                if not patience.left_s:
                    return _told(is_json, f"it has not ended within {timeout_s:g}s; it goes on to drain", ended=False)
                patience.say(_progress(port))
    except KeyboardInterrupt:
        if not is_ordered:
            raise
        click.echo("balance: not waiting any more; it drains and ends all the same", err=True)
        return INTERRUPTED
    passed_s = patience.passed_s
    last_word.wait()
    if last_word.cut is None and last_word.is_heard:
        why = f"it was ended after {passed_s:.1f}s, before all that was under way was done; its log says more"
        return _told(is_json, why, ended=True, seconds=round(passed_s, 3))
    cut = None if last_word.cut is None else last_word.cut - status.document["connections"].get("cut", 0)
    if cut:
        why = f"it ended after {passed_s:.1f}s; {cut} requests or connections were cut"
        return _told(is_json, why, ended=True, seconds=round(passed_s, 3), cut=cut)
    if is_json:
        show_json({"done": True, "ended": True, "seconds": round(passed_s, 3), "cut": cut})
    else:
        unknown = "" if cut == 0 else "; whether anything was cut is in its log"
        click.echo(f"it ended after {passed_s:.1f}s{', nothing was cut' if cut == 0 else unknown}")
    return 0


def _progress(port: AdminClient) -> str:
    try:
        document = port.ask("GET", "/status", expected="stage").document
        return f"draining: {document['connections']['active']} connections, {document['requests']['active']} in flight"
    except (click.ClickException, BalanceError, KeyError):
        return "ending"


def _told(is_json: bool, why: str, *, ended: bool, **about: object) -> int:
    if is_json:
        show_json({"error": why, "ended": ended, **about})
    else:
        click.echo(f"balance: {why}", err=True)
    return REFUSED
