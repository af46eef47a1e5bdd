"""The client of the admin API: `Reader` and the orders. Names and keys are those of the API's OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import quote

from balance.client.access import Access
from balance.client.decoding import decode
from balance.client.documents import BackendChange, OrderResult
from balance.client.reader import Reader
from balance.client.transport import backend_path, operation

State = Literal["drain", "maintenance", "enable"]


class Client(Reader):
    """A running instance, over its admin port. No event loop; threads may share one.

    Every method raises a ClientError of `balance.client.errors`. Orders that go through return what they did; `dry_run` says
    what they would do. `if_version` (of a backend or a switch: its `version`; of a reload: the generation) refuses the order
    with a ConflictError when somebody has changed it since it was read.
    """

    @classmethod
    def from_environment(cls, address: str = "") -> Client:
        """By BALANCE_ADMIN, BALANCE_ADMIN_TOKEN_FILE, _TOKEN, _CA_FILE and _CLIENT_CERT, as the commands."""
        client = cls()
        client.use_environment(address)
        return client

    @classmethod
    def from_access(cls, access: Access) -> Client:
        """With an Access that is made already."""
        client = cls()
        client.use(access)
        return client

    # Backends

    def drain(self, name: str, *, dry_run: bool = False, if_version: str = "") -> BackendChange:
        """Nothing new to a backend; what is under way there ends in peace. The whole instance is `stop`."""
        return self.change_backend(name, state="drain", dry_run=dry_run, if_version=if_version)

    def maintenance(self, name: str, *, dry_run: bool = False, if_version: str = "") -> BackendChange:
        """A backend is out, as if it were not there."""
        return self.change_backend(name, state="maintenance", dry_run=dry_run, if_version=if_version)

    def enable(self, name: str, *, dry_run: bool = False, if_version: str = "") -> BackendChange:
        """A backend that was drained or taken out is back; where there are checks, the next one decides."""
        return self.change_backend(name, state="enable", dry_run=dry_run, if_version=if_version)

    def weight(self, name: str, weight: int, *, dry_run: bool = False, if_version: str = "") -> BackendChange:
        """Another weight. 0: nothing new, while what is under way and its sessions stay."""
        return self.change_backend(name, weight=weight, dry_run=dry_run, if_version=if_version)

    @operation("PATCH /backends/{name}")
    def change_backend(
        self, name: str, *, state: State | None = None, dry_run: bool = False, if_version: str = "", **values: Any
    ) -> BackendChange:
        """A new state, other values of a backend's keys (`weight`, `address`, ...), or both."""
        body = values | ({"state": state} if state is not None else {})
        document = self.order("PATCH", backend_path(name), body, dry_run=dry_run, if_version=if_version, expected="state")
        return decode(BackendChange, document, "/backends")

    @operation("POST /backends")
    def add_backend(
        self, name: str, address: str, *, pool: str = "", weight: int | None = None, dry_run: bool = False, **values: Any
    ) -> OrderResult:
        """One more backend. `pool` where there are several; `values` are other keys of a backend as in a file."""
        body = values | {"name": name, "address": address} | ({"pool": pool} if pool else {})
        return self._done("POST", "/backends", body | ({"weight": weight} if weight is not None else {}), dry_run=dry_run)

    @operation("DELETE /backends/{name}")
    def remove_backend(self, name: str, *, dry_run: bool = False, if_version: str = "") -> OrderResult:
        """A backend is gone; what is under way there may end."""
        return self._done("DELETE", backend_path(name), dry_run=dry_run, if_version=if_version)

    # Traffic

    @operation("POST /policy/{route}/switch")
    def switch(
        self,
        route: str,
        to: Literal["blue", "green"] | None = None,
        *,
        listener: str = "",
        force: bool = False,
        dry_run: bool = False,
        if_version: str = "",
    ) -> OrderResult:
        """A blue-green route goes to its other side, or to that one; `force`: also where nobody is ready."""
        body: dict[str, Any] = {"to": to} if to else {}
        body |= ({"listener": listener} if listener else {}) | ({"force": True} if force else {})
        path = f"/policy/{quote(route, safe='')}/switch"
        return self._done("POST", path, body, dry_run=dry_run, if_version=if_version)

    @operation("POST /blocklist")
    def block(self, addresses: str | Iterable[str], how_long: str = "") -> OrderResult:
        """Nobody connects from these addresses and networks, and their connections are cut; for as long as `how_long`, like
        10m, or until `unblock`."""
        body: dict[str, Any] = {"add": _listed(addresses)}
        return self._done("POST", "/blocklist", body | ({"for": how_long} if how_long else {}))

    def unblock(self, addresses: str | Iterable[str]) -> OrderResult:
        """Ends what `block` began."""
        return self._done("POST", "/blocklist", {"remove": _listed(addresses)})

    # The instance

    @operation("POST /reload")
    def reload(
        self, *, rollback: bool | int = False, discard_changes: bool = False, dry_run: bool = False, if_version: str = ""
    ) -> OrderResult:
        """It reads its configuration again, or goes back: `rollback` True to the last that differs, a number to that
        generation. ConflictError with each of the `problems` of a wrong file, and nothing has changed."""
        body = {"rollback": rollback, "discard_changes": discard_changes}
        return self._done("POST", "/reload", body, dry_run=dry_run, if_version=if_version)

    @operation("POST /diff")
    def diff(self, text: str | bytes) -> OrderResult:
        """What a reload with that configuration would change; ConflictError with what is wrong with it."""
        return self._done("POST", "/diff", text.encode() if isinstance(text, str) else text)

    @operation("POST /restart")
    def restart(self) -> OrderResult:
        """Its workers are replaced one by one."""
        return self._done("POST", "/restart")

    @operation("POST /upgrade")
    def upgrade(self) -> OrderResult:
        """It hands over to the program that is installed now."""
        return self._done("POST", "/upgrade")

    @operation("POST /drain")
    def stop(self) -> OrderResult:
        """It drains and ends. This returns when that is ordered."""
        return self._done("POST", "/drain")

    def _done(self, method: str, path: str, body: Any = None, *, dry_run: bool = False, if_version: str = "") -> OrderResult:
        document = self.order(method, path, body, dry_run=dry_run, if_version=if_version)
        return decode(OrderResult, document, path)


def _listed(addresses: str | Iterable[str]) -> list[str]:
    return [addresses] if isinstance(addresses, str) else list(addresses)
