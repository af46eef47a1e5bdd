"""Who may use an endpoint of the admin port.

With tokens: whoever presents one, on every address; those for reading change nothing. Without: whoever reaches a loopback
address or a Unix socket, but no web page in a browser there. A token is never taken from the address of a request, which lands
in logs.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request

from balance.admin.access.audit import AuditEntry, RefusalLog
from balance.admin.access.browser_checks import is_foreign_page, is_local_host_header, is_same_origin
from balance.admin.access.client import Client, find_token, peer_of, where_of
from balance.admin.access.guess_limit import GuessLimit, limited_address
from balance.admin.access.refusals import refusal_of
from balance.admin.state_view import StateView
from balance.config.model import AdminAuth

CHALLENGE = 'Bearer realm="balance"'  # RFC 6750 section 3
# A proxy on this machine makes a loopback port everybody's.
FORWARDED = frozenset(["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"])
SECRETS_IN_ADDRESSES = frozenset(["access_token", "token", "api_key", "apikey", "key", "password"])


class Access(enum.Enum):
    """Who may use an endpoint."""

    OPEN = "open"  # anybody: no secret is shown
    READ = "read"  # shows addresses and names
    WRITE = "write"  # changes something


class _TokenReadsAloneError(HTTPException):
    """Whoever presents it is known."""


class Gate:
    """The decision, for one server."""

    def __init__(self, view: StateView, is_local_only: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`is_local_only`: it listens on loopback addresses and Unix sockets alone."""
        self._view = view
        self._is_local_only = is_local_only
        self._clock = clock
        self._guesses = GuessLimit()
        self._refusals = RefusalLog()

    def admit(self, request: Request, access: Access) -> Client:
        """Who asks. HTTPException for who may not."""
        where = where_of(request)
        try:
            return self._admit(request, access, where)
        except HTTPException as error:
            self._view.board.count_admin_refusal(refusal_of(error))
            if isinstance(error, _TokenReadsAloneError):
                raise  # has a line of its own
            self._refusals.warn(f"refused {where}: {request.method} {request.url.path}: {error.detail}", self._clock())
            raise

    def _admit(self, request: Request, access: Access, where: str) -> Client:
        if SECRETS_IN_ADDRESSES.intersection(request.query_params):
            raise HTTPException(400, "a token in the address lands in logs; send it as Authorization: Bearer")
        what = "orders are taken" if access is Access.WRITE else "this is shown"
        host = request.headers.get("host", "")
        is_foreign = access is Access.WRITE and not is_same_origin(request.headers.get("origin", ""), host)
        if is_foreign or is_foreign_page(request.method, request.headers):
            raise HTTPException(403, f"{what} to no pages of others")
        auth, certificate = self._view.config.admin.auth, peer_of(request).certificate
        if auth.tokens or auth.read_only_tokens:
            name, may_change = self._token(request, auth)
            if access is Access.WRITE and not may_change:
                client = Client(name, certificate, where)
                AuditEntry(self._view.events, client).note(f"{request.method} {request.url.path}", "refused: it may read alone")
                headers = {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope"'}
                raise _TokenReadsAloneError(403, f"token {name} may read alone; orders need one of admin.auth.tokens", headers)
            return Client(name, certificate, where, may_change)
        if not self._is_local_only:
            raise HTTPException(
                403,
                f"{what} on a loopback admin address only, or with a token; set admin.auth.tokens, or admin.listen to "
                "127.0.0.1:9090 (probes and metrics from elsewhere: metrics.listen)",
            )
        if FORWARDED.intersection(request.headers):
            raise HTTPException(403, f"{what} to nobody who comes through a proxy, unless with a token; set admin.auth.tokens")
        if not is_local_host_header(host):  # DNS rebinding
            raise HTTPException(403, f"{what} under an address or localhost only, whatever name leads here")
        return Client("", certificate, where, may_change=True)

    def _token(self, request: Request, auth: AdminAuth) -> tuple[str, bool]:
        fields = request.headers.getlist("authorization")
        if len(fields) > 1:
            raise HTTPException(400, "there are several Authorization fields; send one")
        scheme, _, presented = (fields[0] if fields else "").partition(" ")
        if scheme.lower() != "bearer":
            raise HTTPException(401, "this needs a token; send it as Authorization: Bearer", {"WWW-Authenticate": CHALLENGE})
        address = limited_address(request.client.host) if request.client else f"uid {peer_of(request).uid}"
        now = self._clock()
        wait_s = self._guesses.wait_s(address, now)
        if wait_s:
            raise HTTPException(429, "too many wrong tokens from there", {"Retry-After": str(math.ceil(wait_s))})
        found = find_token(auth, presented.strip())
        if found is None:
            self._guesses.count(address, now)
            headers = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}
            raise HTTPException(401, "the token is not one of those that are good here", headers)
        return found
