"""Balance with routes: what one by its host, a thousand others and five stages add to a request."""

from scripted.route_lines import five_stages

from wire.peers.balance import Balance, config_text
from wire.peers.peer import Mode, Site

ROUTE = "    - {name: all, host: shop.example, pool: default}\n"
STAGES = (
    five_stages("shop.example")
    + """\
    - {name: other, host: other.example, backends: [{name: b, address: "127.0.0.1:9"}], load_balancer: {algorithm: random}}
"""
)


class BalanceRoutes(Balance):
    """`routes` are the lines of http.routes."""

    def __init__(self, name: str, routes: str) -> None:
        self.name = name
        self._routes = routes

    def missing(self, mode: Mode) -> str | None:
        return None if mode is Mode.HTTP else "has no routes in TCP mode"

    def text(self, site: Site) -> str:
        return f"{config_text(site)}http:\n  routes:\n{self._routes}"


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
