"""Whether a header field, cookie or query parameter of a request meets a condition; the first of its values counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balance import linear_regex
from balance.config.route_model import ValueMatch
from balance.routing.request_view import RequestView

_LOOK_UPS: Final[dict[str, Callable[[RequestView, bytes], bytes | None]]] = {
    "header": RequestView.header,
    "cookie": RequestView.cookie,
    "query": RequestView.parameter,
}


class ValueTest:
    """A condition, ready to be tested. `kind` is header, cookie or query."""

    __slots__ = ("_expected", "_look_up", "_name", "_operator", "_pattern")

    def __init__(self, kind: str, match: ValueMatch) -> None:
        self._look_up = _LOOK_UPS[kind]
        self._name = (match.name.lower() if kind == "header" else match.name).encode()
        self._operator = match.operator
        self._expected = match.value.encode()
        self._pattern = linear_regex.compile(match.value) if match.operator == "regex" else None

    def holds(self, view: RequestView) -> bool:
        """Whether the request meets it. One that lacks the value meets `absent` only."""
        value = self._look_up(view, self._name)
        operator = self._operator
        if value is None:
            return operator == "absent"
        if operator == "equals":
            return value == self._expected
        if operator == "prefix":
            return value.startswith(self._expected)
        if self._pattern is not None:
            return self._pattern.search(value)
        return operator == "present"
