"""Which route a request takes, whichever way a backend may read its path.

All readings have to lead to one route. Else the request is ambiguous, or, with `normalize: forward`, its normalized path is
sent in the place of its own, if all readings of that lead to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balance.config.route_model import RouteMatch
from balance.routing.path_readings import normalized_path, path_readings
from balance.routing.request_view import RequestView
from balance.routing.route_table import NO_MATCH, RouteTable

AMBIGUOUS: Final = -2


class RouteChoice:
    """The choice among the routes of one listener; made once for each configuration."""

    __slots__ = ("_is_forwarding", "_table")

    def __init__(self, matches: Sequence[RouteMatch], *, is_forwarding: bool = False) -> None:
        """`is_forwarding`: of an ambiguous path the normalized reading goes on."""
        self._table = RouteTable(matches)
        self._is_forwarding = is_forwarding

    def choose(self, view: RequestView, host: str, method: bytes, path: bytes) -> tuple[int, bytes]:
        """The index of the request's route and the path to send; the index is NO_MATCH or AMBIGUOUS when it has none.

        `host` is normalized, `path` as sent, without the query.
        """
        table = self._table
        if not table.has_paths:
            return table.find(view, host, method, path), path
        found = self._agreed(view, host, method, path)
        if found == AMBIGUOUS and self._is_forwarding:
            path = normalized_path(path)
            found = self._agreed(view, host, method, path)
        return found, path

    def sole(self, host: str) -> int:
        """The index of the route that takes every request of this normalized host; else NO_MATCH."""
        return self._table.sole(host)

    def _agreed(self, view: RequestView, host: str, method: bytes, path: bytes) -> int:
        table = self._table
        readings = path_readings(path)
        if not readings:  # too many, which makes no difference where one route takes all paths
            sole = table.sole(host)
            return AMBIGUOUS if sole == NO_MATCH else sole
        found = table.find(view, host, method, readings[0])
        for number in range(1, len(readings)):
            if table.find(view, host, method, readings[number]) != found:
                return AMBIGUOUS
        return found


__all__ = ["AMBIGUOUS", "NO_MATCH", "RouteChoice"]
