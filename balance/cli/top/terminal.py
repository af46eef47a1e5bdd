"""The terminal of the live view: keys in, lines out, and left as it was found whatever happens.

curses: it knows what each terminal can do and how it says which key, sends only what has changed (a slow line stays usable),
and gives the terminal back on Ctrl-Z and takes it again after `fg`.
"""

from __future__ import annotations

import contextlib
import curses
import locale
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Final

from balance.cli.top.cells import width_of
from balance.cli.top.lines import Line, Style

KEYS: Final = {
    curses.KEY_UP: "up",
    curses.KEY_DOWN: "down",
    curses.KEY_LEFT: "left",
    curses.KEY_RIGHT: "right",
    curses.KEY_PPAGE: "pageup",
    curses.KEY_NPAGE: "pagedown",
    curses.KEY_HOME: "home",
    curses.KEY_END: "end",
    curses.KEY_ENTER: "enter",
    curses.KEY_BACKSPACE: "backspace",
    curses.KEY_F1: "f1",
    curses.KEY_RESIZE: "resize",
}
CHARACTERS: Final = {"\n": "enter", "\r": "enter", "\x1b": "escape", "\x7f": "backspace", "\x08": "backspace", "\x0c": "redraw"}
ESCAPE_DELAY_MS = 25  # how long after an Esc the rest of a key's sequence may take
COLOURS: Final = {Style.GOOD: curses.COLOR_GREEN, Style.WARN: curses.COLOR_YELLOW, Style.BAD: curses.COLOR_RED}


class Terminal:
    """Within `opened`."""

    def __init__(self, window: curses.window, has_colour: bool) -> None:
        self._window = window
        self._encoding = locale.getencoding()
        self._looks = _looks(has_colour)
        self._gone = select.poll()
        self._gone.register(sys.stdin.fileno(), 0)  # POLLHUP and POLLERR are always told

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self._window.getmaxyx()
        return width, height

    def key(self, wait_s: float) -> str:
        """The next key: a character or a name; "" when none came. _Ended when the terminal is gone, though no SIGHUP came."""
        if self._gone.poll(0):  # else reading would fail at once, again and again
            raise _Ended(128 + signal.SIGHUP)
        self._window.timeout(max(int(wait_s * 1000), 0))
        try:
            pressed = self._window.get_wch()
        except curses.error:
            return ""
        if isinstance(pressed, int):
            return KEYS.get(pressed, "unknown")
        return CHARACTERS.get(pressed, pressed)

    def redraw(self) -> None:
        """All of it anew, whatever somebody else has written there."""
        self._window.clearok(True)

    def draw(self, lines: Sequence[Line]) -> None:
        """Show these lines."""
        window = self._window
        window.erase()
        for row, line in enumerate(lines):
            with contextlib.suppress(curses.error):  # the last cell of the last line, and a window that was just made smaller
                window.move(row, 0)
                for span in line:
                    window.addstr(self._shown(span.text), self._looks[span.style])
        window.refresh()

    def _shown(self, text: str) -> str:
        """With a `?` for each cell of what the terminal's encoding does not have."""
        try:
            text.encode(self._encoding)
            return text
        except UnicodeEncodeError:
            return "".join(char if self._has(char) else "?" * width_of(char) for char in text)

    def _has(self, char: str) -> bool:
        return char.encode(self._encoding, "ignore") != b""


def _looks(has_colour: bool) -> dict[Style, int]:
    looks = {
        Style.PLAIN: curses.A_NORMAL,
        Style.BOLD: curses.A_BOLD,
        Style.DIM: curses.A_DIM,
        Style.HEAD: curses.A_REVERSE,
        Style.GOOD: curses.A_NORMAL,
        Style.WARN: curses.A_BOLD,
        Style.BAD: curses.A_BOLD,
        Style.SELECTED: curses.A_REVERSE | curses.A_BOLD,
    }
    if has_colour:
        for number, (style, colour) in enumerate(COLOURS.items(), 1):
            curses.init_pair(number, colour, -1)
            looks[style] = curses.color_pair(number) | (curses.A_BOLD if style is Style.BAD else 0)
    return looks


class _Ended(SystemExit):
    """A signal that ends programs."""


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ended(128 + number)


def can_be_used() -> bool:
    """Whether there is a terminal on both sides that curses knows."""
    if os.environ.get("TERM", "") in ("", "dumb") or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        curses.setupterm(fd=sys.stdout.fileno())
    except (curses.error, OSError):
        return False
    return curses.tigetstr("cup") is not None  # without it nothing can be drawn in its place


@contextlib.contextmanager
def opened() -> Iterator[Terminal]:
    """The terminal for our own; it is as before after this, by whatever way it is left."""
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    for name in ("LINES", "COLUMNS"):  # of a shell that exports them: they would hold after the window has changed
        os.environ.pop(name, None)
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        window = curses.initscr()
        try:
            curses.noecho()
            curses.cbreak()
            window.keypad(True)
            curses.set_escdelay(ESCAPE_DELAY_MS)
            with contextlib.suppress(curses.error):
                curses.curs_set(0)
            has_colour = _wants_colour()
            if has_colour:
                curses.start_color()
                with contextlib.suppress(curses.error):
                    curses.use_default_colors()
            yield Terminal(window, has_colour)
        finally:
            with contextlib.suppress(curses.error):
                window.keypad(False)
                curses.nocbreak()
                curses.echo()
            curses.endwin()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wants_colour() -> bool:
    return not os.environ.get("NO_COLOR") and curses.has_colors()  # no-color.org: set and not empty
