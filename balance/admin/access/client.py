"""Who asks, as orders are logged: by a token's name and a certificate's subject, and from where."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from starlette.requests import Request

from balance.admin.access.browser_sessions import BrowserSession
from balance.config.model import AdminAuth

CLIENT = "balance.client"  # in the scope of a request that was admitted: a Client
PEER = "balance.peer"  # ASGI extension of our server: a Peer


@dataclass(frozen=True, slots=True)
class Peer:
    """What a connection itself says of the client."""

    certificate: str = ""  # the subject of the one that was verified
    uid: int | None = None  # of the process at a Unix socket


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and from where."""

    token: str = ""  # its name
    certificate: str = ""
    where: str = ""
    may_change: bool = False
    session: BrowserSession | None = None  # of the dashboard

    @property
    def who(self) -> str:
        """For the log: `token ops, certificate CN=Ada`."""
        parts = [f"token {self.token}"] if self.token else ["unauthenticated"]
        return ", ".join([*parts, *([f"certificate {self.certificate}"] if self.certificate else [])])


def peer_of(request: Request) -> Peer:
    found = request.scope.get("extensions", {}).get(PEER)
    return found if isinstance(found, Peer) else Peer()


def where_of(request: Request) -> str:
    """The client's address with its port."""
    if request.client is not None:
        host = f"[{request.client.host}]" if ":" in request.client.host else request.client.host
        return f"{host}:{request.client.port}"
    uid = peer_of(request).uid
    return "a Unix socket" if uid is None else f"a Unix socket (uid {uid})"


def find_token(auth: AdminAuth, presented: str) -> tuple[str, bool] | None:
    """The name of a token and whether it may change things. Takes as long for each that is presented: all are compared."""
    hashed = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
    found = None
    for may_change, tokens in ((True, auth.tokens), (False, auth.read_only_tokens)):
        for token in tokens:
            if hmac.compare_digest(hashed, token.token):
                found = token.name, may_change
    return found
