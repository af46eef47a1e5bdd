"""Who may use an endpoint of the admin port.

With tokens: whoever presents one, on every address; those for reading change nothing. Without: whoever reaches a loopback
address or a Unix socket, but no web page in a browser there. A token is never taken from the address of a request, which lands
in logs. Whoever has signed in at the dashboard presents a key of his session in place of the token, or, to look at the
dashboard's own paths, its cookie.
"""

from __future__ import annotations

import enum
import hashlib
import math
import time
from collections.abc import Callable, Iterator

from starlette.exceptions import HTTPException
from starlette.requests import Request

from balance.admin.access.audit import AuditEntry, RefusalLog
from balance.admin.access.browser_checks import is_foreign_page, is_local_host_header, is_same_origin
from balance.admin.access.browser_sessions import BrowserSession, SessionStore
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


_WHAT = {Access.WRITE: "orders are taken", Access.READ: "this is shown", Access.OPEN: "this is shown"}
COOKIE_PATHS = "/dashboard/"  # where a cookie is taken, and where browsers send it
MAX_COOKIES = 8  # of one name


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
        self.sessions = SessionStore()
        self._refusals = RefusalLog()

    def admit(self, request: Request, access: Access) -> Client:
        """Who asks. HTTPException for who may not."""
        where = where_of(request)
        try:
            return self._admit(request, access, where)
        except HTTPException as error:
            self._tell(error, request, where)
            raise

    def _tell(self, error: HTTPException, request: Request, where: str) -> None:
        """Count and log that somebody was refused."""
        self._view.board.count_admin_refusal(refusal_of(error))
        if not isinstance(error, _TokenReadsAloneError):  # which has a line of its own
            self._refusals.warn(f"refused {where}: {request.method} {request.url.path}: {error.detail}", self._clock())

    def _admit(self, request: Request, access: Access, where: str) -> Client:
        if SECRETS_IN_ADDRESSES.intersection(request.query_params):
            raise HTTPException(400, "a token in the address lands in logs; send it as Authorization: Bearer")
        self.refuse_foreign_pages(request, access)
        auth, certificate = self._view.config.admin.auth, peer_of(request).certificate
        if auth.tokens or auth.read_only_tokens:
            if access is Access.READ and request.url.path.startswith(COOKIE_PATHS) and "authorization" not in request.headers:
                session = self.session_of(request)
                if session is not None:
                    return Client(session.name, certificate, where, session.may_change, session)
            name, may_change, session = self._token(request, auth)
            if access is Access.WRITE and not may_change:
                client = Client(name, certificate, where)
                AuditEntry(self._view.events, client).note(f"{request.method} {request.url.path}", "refused: it may read alone")
                headers = {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope"'}
                raise _TokenReadsAloneError(403, f"token {name} may read alone; orders need one of admin.auth.tokens", headers)
            return Client(name, certificate, where, may_change, session)
        what = _WHAT[access]
        if not self._is_local_only:
            raise HTTPException(
                403,
                f"{what} on a loopback admin address only, or with a token; set admin.auth.tokens, or admin.listen to "
                "127.0.0.1:9090 (probes and metrics from elsewhere: metrics.listen)",
            )
        if FORWARDED.intersection(request.headers):
            raise HTTPException(403, f"{what} to nobody who comes through a proxy, unless with a token; set admin.auth.tokens")
        if not is_local_host_header(request.headers.get("host", "")):  # DNS rebinding
            raise HTTPException(403, f"{what} under an address or localhost only, whatever name leads here")
        return Client("", certificate, where, may_change=True)

    def refuse_foreign_pages(self, request: Request, access: Access) -> None:
        """HTTPException when the page of another site asks."""
        host = request.headers.get("host", "")
        is_foreign = access is Access.WRITE and not is_same_origin(request.headers.get("origin", ""), host)
        if is_foreign or is_foreign_page(request.method, request.headers):
            raise HTTPException(403, f"{_WHAT[access]} to no pages of others")

    def session_of(self, request: Request) -> BrowserSession | None:
        """The session of the request's cookie. Several cookies may have its name: those of other ports' pages are ours too."""
        auth, now = self._view.config.admin.auth, self._clock()
        for value in _cookies(request):
            session = self.sessions.of_cookie(value, auth, now)
            if session is not None:
                return session
        return None

    def is_signed_in(self, session: BrowserSession) -> bool:
        """Whether a session has not ended."""
        return self.sessions.is_good(session, self._view.config.admin.auth, self._clock())

    def sign_in(self, request: Request, presented: str) -> tuple[Client, str, str]:
        """A session for a token, its cookie's value and its key; where no tokens are configured, none."""
        auth, where = self._view.config.admin.auth, where_of(request)
        if not (auth.tokens or auth.read_only_tokens):
            return self.admit(request, Access.WRITE), "", ""
        try:
            self.refuse_foreign_pages(request, Access.WRITE)
            name, may_change = self._found(request, auth, presented)
        except HTTPException as error:
            self._tell(error, request, where)
            raise
        hashed = hashlib.sha256(presented.strip().encode("utf-8", "surrogatepass")).digest()
        session, cookie, key = self.sessions.create(hashed, name, may_change, self._clock())
        return Client(name, peer_of(request).certificate, where, may_change, session), cookie, key

    def _token(self, request: Request, auth: AdminAuth) -> tuple[str, bool, BrowserSession | None]:
        fields = request.headers.getlist("authorization")
        if len(fields) > 1:
            raise HTTPException(400, "there are several Authorization fields; send one")
        scheme, _, presented = (fields[0] if fields else "").partition(" ")
        if scheme.lower() != "bearer":
            raise HTTPException(401, "this needs a token; send it as Authorization: Bearer", {"WWW-Authenticate": CHALLENGE})
        session = self.sessions.of_key(presented.strip(), auth, self._clock())
        if session is not None:
            return session.name, session.may_change, session
        return *self._found(request, auth, presented), None

    def _found(self, request: Request, auth: AdminAuth, presented: str) -> tuple[str, bool]:
        """The token that was presented."""
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


def cookie_name(request: Request, is_secure: bool) -> str:
    """The name of the dashboard's cookie. It has the port: cookies don't tell the ports of a machine apart."""
    port = request.headers.get("host", "").rpartition(":")[2]
    prefix = "__Secure-" if is_secure else ""  # RFC 6265bis section 4.1.3
    return f"{prefix}balance-{port}" if port.isascii() and port.isdigit() else f"{prefix}balance"


def _cookies(request: Request) -> Iterator[str]:
    """The values of the cookies with that name."""
    names = cookie_name(request, True), cookie_name(request, False)
    found = 0
    for field in request.headers.getlist("cookie"):
        for part in field.split(";"):
            name, _, value = part.strip().partition("=")
            if name in names and found < MAX_COOKIES:
                found += 1
                yield value
