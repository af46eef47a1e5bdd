"""What is looked at and what a key does: selection, sort, filter, pool view, questions before orders. Knows no terminal.

The selection is of a name, not of a place, so that rows that change their order never lead an order to another backend.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from balance.cli.top.rows import BackendRow, Row, backend_rows, filtered, pool_rows, section, sorted_rows
from balance.client.printable import printable

BACKEND_SORTS: Final = ("", "name", "state", "circuit", "weight", "share", "active", "rate", "p50_s", "p99_s", "errors")
POOL_SORTS: Final = ("", "name", "algorithm", "ready", "active", "waiting", "rate", "p50_s", "p99_s", "errors")
SORT_WORDS: Final = {
    "": "configuration",
    "name": "name",
    "state": "state",
    "circuit": "circuit",
    "algorithm": "algorithm",
    "ready": "ready",
    "waiting": "waiting",
    "weight": "weight",
    "share": "share",
    "active": "active",
    "rate": "req/s",
    "p50_s": "p50",
    "p99_s": "p99",
    "errors": "err/s",
}
State = Literal["drain", "maintenance", "enable"]
ORDERS: Final[dict[str, tuple[State, str]]] = {
    "d": ("drain", "Drain"),
    "m": ("maintenance", "Take out (maintenance)"),
    "e": ("enable", "Enable"),
}
MAX_FILTER = 200


class Ask(enum.Enum):
    """What a key asks of the program."""

    QUIT = enum.auto()
    PREVIEW = enum.auto()  # of view.question
    ORDER = enum.auto()  # view.question


@dataclass(slots=True)
class Question:
    """An order that waits to be confirmed."""

    key: str
    name: str
    state: State
    verb: str
    version: str
    outlook: str = ""  # what it would mean by what is shown here; the instance may know better
    preview: str = ""  # what it would mean; "" until that is known
    is_asked: bool = True  # False: it was confirmed, and its answer is waited for


@dataclass(slots=True)
class View:
    """One look at a state document."""

    state: Mapping[str, Any] = field(default_factory=dict)
    last_whys: Mapping[str, str] = field(default_factory=dict)
    is_pools: bool = False
    sort: str = ""
    is_reversed: bool = False
    filter: str = ""
    is_typing: bool = False  # the filter
    pool: str = ""  # the only one that is shown
    selected: str = ""
    first: int = 0  # the row at the top
    is_help: bool = False
    question: Question | None = None
    message: str = ""
    lost: str = ""  # why there is no contact; "" while there is
    lost_at: float = 0.0  # since when
    rows: Sequence[Row] = ()

    def update(self, state: Mapping[str, Any], last_whys: Mapping[str, str]) -> None:
        """A newer state."""
        self.state, self.last_whys = state, last_whys
        self.arrange()

    def arrange(self) -> None:
        """Rows anew, after anything that decides about them has changed."""
        rows: Sequence[Row] = pool_rows(self.state) if self.is_pools else backend_rows(self.state, self.last_whys)
        rows = filtered(rows, self.filter, "" if self.is_pools else self.pool)
        self.rows = sorted_rows(rows, self.sort, is_reversed=self.is_reversed)
        if self.rows and self.selected not in {row.key for row in self.rows}:
            self.selected = self.rows[0].key

    @property
    def place(self) -> int:
        """The selected row's number."""
        return next((index for index, row in enumerate(self.rows) if row.key == self.selected), 0)

    @property
    def current(self) -> Row | None:
        """The selected row."""
        return self.rows[self.place] if self.rows else None

    def scroll(self, height: int) -> Sequence[Row]:
        """The rows of a window of that height, with the selected one among them."""
        height = max(height, 1)
        place = self.place
        self.first = min(max(self.first, place - height + 1), place, max(len(self.rows) - height, 0))
        return self.rows[self.first : self.first + height]

    def press(self, key: str, height: int) -> Ask | None:
        """A key: a character, or a name like `up`. `height` is how many rows are seen."""
        self.message = ""
        if self.question is not None:
            return self._answer(key)
        if self.is_typing:
            self._type(key)
            return None
        if self.is_help:
            self.is_help = False
            return Ask.QUIT if key == "q" else None
        if key == "q":
            return Ask.QUIT
        if key in ORDERS:
            return self._question(key)
        moves = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -height, "pagedown": height, "home": -len(self.rows),
                 "g": -len(self.rows), "end": len(self.rows), "G": len(self.rows)}  # fmt: skip
        if key in moves:
            self._move(moves[key])
            return None
        self._look(key)
        self.arrange()
        return None

    def _look(self, key: str) -> None:
        match key:
            case "?" | "h" | "f1":
                self.is_help = True
            case "/":
                self.is_typing = True
            case "escape":
                self.filter = self.pool = ""
            case "s" | ">" | "right":
                self._sort_by(1)
            case "S" | "<" | "left":
                self._sort_by(-1)
            case "r":
                self.is_reversed = not self.is_reversed
            case "p":
                self._turn(not self.is_pools)
            case "enter" if self.is_pools and self.current is not None:
                self.pool = self.current.key
                self._turn(False)

    def _turn(self, is_pools: bool) -> None:
        self.is_pools = is_pools
        self.first = 0
        if is_pools and isinstance(self.current, BackendRow):
            self.selected = self.current.pool
        if is_pools:
            self.pool = ""
        if self.sort not in (POOL_SORTS if is_pools else BACKEND_SORTS):
            self.sort = ""

    def _sort_by(self, step: int) -> None:
        sorts = POOL_SORTS if self.is_pools else BACKEND_SORTS
        self.sort = sorts[(sorts.index(self.sort) + step) % len(sorts)]

    def _move(self, by: int) -> None:
        if self.rows:
            self.selected = self.rows[min(max(self.place + by, 0), len(self.rows) - 1)].key

    def _type(self, key: str) -> None:
        match key:
            case "enter":
                self.is_typing = False
            case "escape":
                self.is_typing, self.filter = False, ""
            case "backspace":
                self.filter = self.filter[:-1]
            case _ if len(key) == 1 and key.isprintable() and len(self.filter) < MAX_FILTER:
                self.filter += key
        self.arrange()

    def _question(self, key: str) -> Ask | None:
        row = self.current
        if not isinstance(row, BackendRow):
            self.message = "an order is for a backend: press p, or Enter for those of this pool"
            return None
        if section(self.state, "viewer").get("may_change") is False:
            self.message = "the token here may read alone; --token-file FILE with one of admin.auth.tokens may change"
            return None
        if self.lost:
            self.message = "no orders while there is no contact"
            return None
        state, verb = ORDERS[key]
        self.question = Question(row.key, row.name, state, verb, row.version, self._outlook(row, state))
        return Ask.PREVIEW

    def _outlook(self, row: BackendRow, state: State) -> str:
        if state == "enable":
            return f"It is {row.state}; it gets new requests again, where there are checks after they have passed."
        others = [each for each in backend_rows(self.state, {}) if each.pool == row.pool and each.key != row.key]
        ready = sum(1 for each in others if not each.is_out)
        left = f"{ready} of {len(others)} others of pool {printable(row.pool)} take its requests"
        if not ready:
            left = f"NOBODY ELSE of pool {printable(row.pool)} takes traffic: what is new there is refused"
        return f"{left}; {row.active or 0:.0f} under way there may end."

    def _answer(self, key: str) -> Ask | None:
        assert self.question is not None
        if not self.question.is_asked:  # on its way: only whoever leaves is heard
            return Ask.QUIT if key == "q" else None
        if key in ("y", "Y"):
            self.question.is_asked = False
            return Ask.ORDER
        if key in ("n", "N", "escape", "q"):
            self.message = f"{self.question.name} is left as it is"
            self.question = None
        return None
