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

import click

from balance.admin.metrics.processes import pid_namespace
from balance.cli.admin.refusals import REFUSED
from balance.cli.admin.tables import show_json
from balance.cli.admin.wait_option import WaitProgress
from balance.cli.main import INTERRUPTED
from balance.client import Client, ClientError, Event, EventStream, NotBalanceError, Status, UnreachableError

FINAL_EVENT_TIMEOUT_S = 2.0  # to read the final event after the process has ended


class _FinalEvent:
    """Reads the event stream in a thread, for the instance's final event."""

    def __init__(self, client: Client) -> None:
        self.dropped: int | None = None  # dropped connections in total, once known
        self.is_connected = False  # whether the event stream could be read
        with contextlib.suppress(ClientError):
            events = client.events(0, reconnect=False)
            self.is_connected = True
            self._thread = threading.Thread(target=self._listen, args=(events,), daemon=True)
            self._thread.start()

    def _listen(self, events: EventStream[Event]) -> None:
        with contextlib.suppress(ClientError):
            for event in events:
                if event.fields.get("stage") == "ended":
                    self.dropped = event.fields.get("cut")

    def wait(self) -> None:
        """Wait until the stream has ended."""
        if self.is_connected:
            self._thread.join(FINAL_EVENT_TIMEOUT_S)


class _ExitWatch:
    """Detects the end of the instance."""

    def __init__(self, client: Client, status: Status) -> None:
        self._client = client
        self._pid: int = status.supervisor["pid"]
        self._poll = None
        here = pid_namespace()
        if here and client.access.is_local and status.supervisor.get("pid_namespace") == here:
            with contextlib.suppress(OSError):
                self._poll = select.poll()
                self._poll.register(os.pidfd_open(self._pid), select.POLLIN)

    def has_exited_within(self, seconds: float) -> bool:
        """Whether it ends within `seconds`; waits for it."""
        if self._poll is not None:
            return bool(self._poll.poll(seconds * 1000))
        time.sleep(seconds)
        try:
            return bool(self._client.status().supervisor["pid"] != self._pid)  # another instance has started meanwhile
        except (UnreachableError, NotBalanceError):
            return True
        except ClientError:
            return False


def stop_and_wait(client: Client, timeout_s: float | None, is_json: bool) -> int:
    """The exit status: 0 when it has ended, 1 when connections were dropped or it has not ended in time."""
    status = client.status()
    end, final_event = _ExitWatch(client, status), _FinalEvent(client)
    is_ordered = False
    try:
        client.stop()
        is_ordered = True
        with WaitProgress(timeout_s) as progress:
            while not end.has_exited_within(progress.next_poll_s()):
                if not progress.left_s:
                    return _show_result(is_json, f"it has not ended within {timeout_s:g}s; it goes on to drain", ended=False)
                progress.show(_progress(client))
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
    before: int = status.document["connections"].get("cut", 0)
    cut = None if final_event.dropped is None else final_event.dropped - before
    if cut:
        why = f"it ended after {passed_s:.1f}s; {cut} requests or connections were cut"
        return _show_result(is_json, why, ended=True, seconds=round(passed_s, 3), cut=cut)
    if is_json:
        show_json({"done": True, "ended": True, "seconds": round(passed_s, 3), "cut": cut})
    else:
        unknown = "" if cut == 0 else "; whether anything was cut is in its log"
        click.echo(f"it ended after {passed_s:.1f}s{', nothing was cut' if cut == 0 else unknown}")
    return 0


def _progress(client: Client) -> str:
    try:
        status = client.status()
    except ClientError:
        return "ending"
    return f"draining: {status.connections.active} connections, {status.requests.active} in flight"


def _show_result(is_json: bool, why: str, *, ended: bool, **about: object) -> int:
    if is_json:
        show_json({"error": why, "ended": ended, **about})
    else:
        click.echo(f"balance: {why}", err=True)
    return REFUSED
