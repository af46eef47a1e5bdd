"""`balance stop --wait`: waits for the instance's end and reports dropped connections.

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
from balance.cli.admin.admin_client import AdminClient, NoResponseError, NotRunningError
from balance.cli.admin.tables import REFUSED, show_json, show_refusal
from balance.cli.admin.wait_option import WaitProgress
from balance.cli.main import INTERRUPTED
from balance.errors import BalanceError

FINAL_EVENT_TIMEOUT_S = 2.0  # to read the final event after the process has ended


class _FinalEvent:
    """Reads the event stream in a thread, for the instance's final event."""

    def __init__(self, port: AdminClient) -> None:
        self.dropped: int | None = None  # dropped connections in total, once known
        self.is_connected = False  # whether the event stream could be read
        with contextlib.suppress(click.ClickException, BalanceError):
            events = port.listen("0")
            self.is_connected = True
            self._thread = threading.Thread(target=self._listen, args=(events,), daemon=True)
            self._thread.start()

    def _listen(self, events: Iterator[tuple[str, dict[str, Any]]]) -> None:
        with contextlib.suppress(BalanceError, ValueError):
            for _, event in events:
                if event.get("stage") == "ended":
                    self.dropped = event.get("cut")

    def wait(self) -> None:
        """Wait until the stream has ended."""
        if self.is_connected:
            self._thread.join(FINAL_EVENT_TIMEOUT_S)


class _ExitWatch:
    """Detects the end of the instance."""

    def __init__(self, port: AdminClient, status: dict[str, Any]) -> None:
        self._port = port
        self._pid: int = status["supervisor"]["pid"]
        self._poll = None
        here = pid_namespace()
        if here and port.is_local and status["supervisor"].get("pid_namespace") == here:
            with contextlib.suppress(OSError):
                self._poll = select.poll()
                self._poll.register(os.pidfd_open(self._pid), select.POLLIN)

    def has_exited_within(self, seconds: float) -> bool:
        """Whether it ends within `seconds`; waits for it."""
        if self._poll is not None:
            return bool(self._poll.poll(seconds * 1000))
        time.sleep(seconds)
        try:
            reply = self._port.request("GET", "/status", expected="stage")
        except NotRunningError:
            return True
        except NoResponseError:
            return False
        return reply.is_done and reply.document["supervisor"]["pid"] != self._pid  # another instance has started meanwhile


def stop_and_wait(port: AdminClient, timeout_s: float | None, is_json: bool) -> int:
    """The exit status: 0 when it has ended, 1 when connections were dropped or it has not ended in time."""
    status = port.request("GET", "/status", expected="stage")
    if not status.is_done:
        return show_refusal(status, is_json)
    end, final_event = _ExitWatch(port, status.document), _FinalEvent(port)
    is_ordered = False
    try:
        reply = port.request("POST", "/drain", expected="done")
        if not reply.is_done:
            return show_refusal(reply, is_json)
        is_ordered = True
        with WaitProgress(timeout_s) as progress:
            while not end.has_exited_within(progress.next_poll_s()):
                if not progress.left_s:
                    return _show_result(is_json, f"it has not ended within {timeout_s:g}s; it goes on to drain", ended=False)
                progress.show(_progress(port))
    except KeyboardInterrupt:
        if not is_ordered:
            raise
        click.echo("balance: not waiting any more; it drains and ends all the same", err=True)
        return INTERRUPTED
    passed_s = progress.elapsed_s
    final_event.wait()
    if final_event.dropped is None and final_event.is_connected:
        why = f"it was ended after {passed_s:.1f}s, before all that was under way was done; its log says more"
        return _show_result(is_json, why, ended=True, seconds=round(passed_s, 3))
    cut = None if final_event.dropped is None else final_event.dropped - status.document["connections"].get("cut", 0)
    if cut:
        why = f"it ended after {passed_s:.1f}s; {cut} requests or connections were cut"
        return _show_result(is_json, why, ended=True, seconds=round(passed_s, 3), cut=cut)
    if is_json:
        show_json({"done": True, "ended": True, "seconds": round(passed_s, 3), "cut": cut})
    else:
        unknown = "" if cut == 0 else "; whether anything was cut is in its log"
        click.echo(f"it ended after {passed_s:.1f}s{', nothing was cut' if cut == 0 else unknown}")
    return 0


def _progress(port: AdminClient) -> str:
    try:
        document = port.request("GET", "/status", expected="stage").document
        return f"draining: {document['connections']['active']} connections, {document['requests']['active']} in flight"
    except (click.ClickException, BalanceError, KeyError):
        return "ending"


def _show_result(is_json: bool, why: str, *, ended: bool, **about: object) -> int:
    if is_json:
        show_json({"error": why, "ended": ended, **about})
    else:
        click.echo(f"balance: {why}", err=True)
    return REFUSED
