"""Balance with routes: what one by its host, a thousand others and five stages add to a request."""

from wire.peers.balance import STAGES, Balance, config_text
from wire.peers.peer import Mode, Site

ROUTE = "    - {name: all, host: shop.example, pool: default}\n"


class BalanceRoutes(Balance):
    """`routes` are the lines of http.routes."""

    def __init__(self, name: str, routes: str) -> None:
        self.name = name
        self._routes = routes

    def missing(self, mode: Mode, *, http2: bool = False, grpc: bool = False) -> str | None:
        if mode is not Mode.HTTP:
            return "has no routes in TCP mode"
        return super().missing(mode, http2=http2, grpc=grpc)

    def text(self, site: Site) -> str:
        return config_text(site, self._routes)


def many(count: int) -> str:
    """As many routes, of which the last one is taken."""
    others = (f"    - {{name: r{n}, host: h{n}.example, path_prefix: /p{n}, pool: default}}\n" for n in range(count - 1))
    return "".join(others) + ROUTE


VARIANTS = (
    BalanceRoutes("balance-route", ROUTE),
    BalanceRoutes("balance-10-routes", many(10)),
    BalanceRoutes("balance-10000-routes", many(10_000)),
    BalanceRoutes("balance-stages", STAGES),
)
