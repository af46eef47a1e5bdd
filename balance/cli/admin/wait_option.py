"""`--wait`: polls a running instance until an operation is complete. Ctrl-C ends only the waiting.

What is waited for is drained backends here, and the end of an instance in `ending`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType

import click

from balance.cli.admin.admin_options import Command
from balance.cli.admin.refusals import REFUSED
from balance.cli.admin.tables import show_json
from balance.cli.durations import seconds
from balance.client import Backend, Client, ContactError
from balance.client.printable import printable

MIN_POLL_S, MAX_POLL_S = 0.1, 1.0  # between two polls
RECONNECT_TIMEOUT_S = 10.0  # enough for a new control process, and for the admin port after an upgrade


def wait_options(command: Command) -> Command:
    """--wait and --timeout."""
    command = click.option(
        "--timeout",
        metavar="DURATION",
        callback=seconds,
        help="Wait no longer than that, like 30s; without it, as long as it takes.",
    )(command)
    return click.option("--wait", "is_waiting", is_flag=True, help="Return when it is over.")(command)


def check_wait(is_waiting: bool, timeout: float | None) -> None:
    """UsageError for --timeout without --wait."""
    if timeout is not None and not is_waiting:
        raise click.UsageError("--timeout says how long to --wait; write both")


class WaitProgress:
    """The remaining time, and a progress line on stderr if that is a terminal."""

    def __init__(self, timeout_s: float | None) -> None:
        self._began = time.monotonic()
        self._timeout_s = timeout_s
        self._pause_s = MIN_POLL_S
        self._is_shown = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def __enter__(self) -> WaitProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._write("")

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float:
        """The remaining time; infinity without a timeout."""
        return float("inf") if self._timeout_s is None else max(self._timeout_s - self.elapsed_s, 0.0)

    def next_poll_s(self) -> float:
        """The delay before the next poll: longer each time."""
        self._pause_s, pause_s = min(1.5 * self._pause_s, MAX_POLL_S), self._pause_s
        return min(pause_s, self.left_s)

    def show(self, text: str) -> None:
        """Show a progress text."""
        self._write(f"{text} ({self.elapsed_s:.0f}s)")

    def _write(self, text: str) -> None:
        if self._is_shown:
            sys.stderr.write(f"\r\x1b[K{printable(text)}")
            sys.stderr.flush()


def wait_drained(client: Client, names: Sequence[str], timeout_s: float | None, is_json: bool) -> int:
    """Wait until these backends have no requests in flight. The exit status: 0 when drained, 1 on timeout.

    Whoever calls says what holds after a KeyboardInterrupt."""
    known: dict[str, Backend] = {}
    left = list(names)
    with WaitProgress(timeout_s) as progress:
        while True:
            for name in list(left):
                backend = known[name] = _get_backend(client, name)
                if backend.drained is None:
                    return _refused(
                        f"backend {backend.full_name} was put back meanwhile: it is {backend.state}", known, is_json
                    )
                if backend.drained:
                    left.remove(name)
            if not left:
                break
            if not progress.left_s:
                held = "; ".join(f"backend {known[name].full_name} has {_in_flight(known[name])}" for name in left)
                return _refused(f"not over within {timeout_s:g}s: {held}; nothing new goes there", known, is_json)
            progress.show("waiting for " + ", ".join(f"{known[name].full_name}: {_in_flight(known[name])}" for name in left))
            time.sleep(progress.next_poll_s())
    if is_json:
        documents = [known[name].document for name in names]
        show_json(documents[0] if len(names) == 1 else {"backends": documents})
    else:
        for name in names:
            full_name = printable(known[name].full_name)
            click.echo(f"backend {full_name} is drained: nothing is under way there ({progress.elapsed_s:.1f}s)")
    return 0


def _get_backend(client: Client, name: str) -> Backend:
    """One backend. Retries while the admin port is unavailable."""
    until = time.monotonic() + RECONNECT_TIMEOUT_S
    while True:
        try:
            return client.backend(name)
        except ContactError:
            if time.monotonic() >= until:
                raise
        time.sleep(MIN_POLL_S)


def _refused(why: str, known: dict[str, Backend], is_json: bool) -> int:
    if is_json:
        show_json({"error": why, "backends": [each.document for each in known.values()]})
    else:
        click.echo(f"balance: {printable(why)}", err=True)
    return REFUSED


def _in_flight(backend: Backend) -> str:
    return f"{backend.active} in flight"
