"""The lines of a request's head that name the backend, so that each try has its own: Host, and values with {backend}."""

from __future__ import annotations

from balance.http1.host import authority_of
from balance.model import Address
from balance.transform.header_changes import HeaderChanges
from balance.transform.header_template import Variables


class LinesPerTry:
    """Those of one route; made with it."""

    __slots__ = ("_changes", "has_host")

    def __init__(self, changes: HeaderChanges | None, *, has_host: bool) -> None:
        """`has_host`: the backend gets its own name as Host. `changes` are those that have {backend}."""
        self._changes = changes
        self.has_host = has_host

    def lines(self, variables: Variables, authority: bytes) -> bytes:
        """The lines for a try. `variables.backend` and `authority`, see own_host, are those of its backend."""
        out = b"Host: " + authority + b"\r\n" if self.has_host else b""
        return out if self._changes is None else out + self._changes.added(variables)


def own_host(address: Address) -> bytes:
    """A backend's own name as a Host field's value, with its port unless that is 80.

    Behind a Unix socket there is none: `localhost`, as with nginx.
    """
    if address.path:
        return b"localhost"
    host = address.host
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:  # then its connect fails, too
            return b"localhost"
    return authority_of(host, address.port)
