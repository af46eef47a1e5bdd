"""Finds the route of a request by host, path and conditions. To be replaced: linear, knows host and path prefix only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balance.config.route_model import RouteMatch
from balance.routing.request_view import RequestView

NO_MATCH: Final = -1


class RouteTable:
    """Built once for each configuration."""

    def __init__(self, matches: Sequence[RouteMatch]) -> None:
        self._matches = matches

    def find(self, view: RequestView, host: str, method: bytes, path: bytes) -> int:
        """The index of the route, or NO_MATCH."""
        for index, match in enumerate(self._matches):
            if (not match.host or match.host == host) and path.startswith(match.path.encode()):
                return index
        return NO_MATCH
