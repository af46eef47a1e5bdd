"""The endpoints of the dashboard: its page and files, signing in, the state as a whole, and as a stream.

A browser's EventSource can't send a token, and one in an address would land in logs. So a page signs in once and has a cookie,
which lets it look; orders need the session's key, which no browser sends by itself (see access.browser_sessions).
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from balance.admin.access.audit import AuditEntry
from balance.admin.access.client import CLIENT, Client
from balance.admin.access.gate import Access, Gate, cookie_name
from balance.admin.dashboard.assets import PAGE, TYPES, Assets, asset_reply
from balance.admin.dashboard.feed import Feed
from balance.admin.dashboard.state.instance import instance_id
from balance.admin.dashboard.stream import HEADERS, StateStream, with_viewer
from balance.admin.endpoints import Endpoint
from balance.admin.json_reply import reply
from balance.admin.order_parsing import read_body, read_object
from balance.admin.state_view import StateView

ALLOWED = 'write {"token": "one of admin.auth.tokens or read_only_tokens"}'
TOKEN_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {"token": {"type": "string"}},
    "required": ["token"],
    "additionalProperties": False,
}
_IS_OFF = {"404": "The dashboard is turned off."}
_NOT_HERE = "A page of others asks, or there are no tokens and this is another machine."


class Dashboard:
    """Handlers over one StateView."""

    def __init__(self, view: StateView, gate: Gate, assets: Assets | None = None) -> None:
        self._view = view
        self._gate = gate
        self._assets = assets or Assets()
        self._feed = Feed(view, lambda: len(gate.sessions))

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        anybody, read = Access.OPEN, Access.READ
        return [
            Endpoint(
                "GET", "/", self.page, anybody, "The dashboard, for browsers.", produces=("text/html",), also=_IS_OFF,
            ),
            Endpoint(
                "GET", "/dashboard/assets/{file}", self.asset, anybody, "The files of the dashboard.",
                produces=tuple(dict.fromkeys(each.partition(";")[0] for each in TYPES.values())),
            ),
            Endpoint(
                "GET", "/dashboard/session", self.session, anybody, "Whether the dashboard's cookie is good.",
                also={"403": _NOT_HERE},
            ),
            Endpoint(
                "POST", "/dashboard/session", self.sign_in, anybody, "Sign in at the dashboard, by a token.",
                body=TOKEN_BODY, needs_body=True,
                also=_IS_OFF | {"401": "Not a good token.", "403": _NOT_HERE, "429": "Too many wrong tokens from there."},
            ),
            Endpoint(
                "DELETE", "/dashboard/session", self.sign_out, anybody, "Sign out.",
                also={"401": "Nobody is signed in.", "403": _NOT_HERE},
            ),
            Endpoint("GET", "/dashboard/state", self.state, read, "All that the dashboard shows, at one moment."),
            Endpoint("GET", "/dashboard/history", self.history, read, "Totals of the last ten minutes, as columns."),
            Endpoint(
                "GET", "/dashboard/stream", self.stream, read,
                "The state, and each second what has changed as a JSON Merge Patch (server-sent events).",
                produces=("text/event-stream",), also={"503": "Too many look already."},
            ),
        ]  # fmt: skip

    def close(self) -> None:
        """End every stream: the server stops."""
        self._feed.end_all("closing")

    async def page(self, request: Request) -> Response:
        """The page itself holds nothing secret."""
        self._check_enabled()
        return self._file(PAGE, request)

    async def asset(self, request: Request) -> Response:
        """A file of the page."""
        self._check_enabled()
        return self._file(request.path_params["file"], request)

    def _file(self, path: str, request: Request) -> Response:
        asset = self._assets.find(path)
        if asset is None:
            raise HTTPException(404, f"the dashboard has no file {path[:100]!r}")
        return asset_reply(asset, request)

    def _check_enabled(self) -> None:
        if not self._view.config.admin.dashboard:
            raise HTTPException(404, "the dashboard is turned off (admin.dashboard: false); /openapi.json lists what there is")

    async def session(self, request: Request) -> Response:
        """Who looks."""
        auth = self._view.config.admin.auth
        if auth.tokens or auth.read_only_tokens:
            session = self._gate.session_of(request)
            client = Client() if session is None else Client(session.name, may_change=session.may_change, session=session)
        else:
            client = self._gate.admit(request, Access.READ)
        return reply(self._viewer(client) | {"instance": instance_id(self._view)})

    async def sign_in(self, request: Request) -> Response:
        """A session for a token."""
        self._check_enabled()
        values = read_object(await read_body(request, allowed=ALLOWED), ALLOWED)
        presented = values.pop("token", None)
        if values or not isinstance(presented, str):
            raise HTTPException(400, f"the body is no token; {ALLOWED}")
        client, cookie, key = self._gate.sign_in(request, presented)
        if client.session is None:
            return reply(self._viewer(client))  # nothing to sign in to
        AuditEntry(self._view.events, client).note("sign in at the dashboard", "done")
        document = self._viewer(client) | {"key": key}
        left_s = int(client.session.ends_at - time.monotonic())
        return reply(document, headers={"Set-Cookie": _cookie(request, cookie, left_s)})

    async def sign_out(self, request: Request) -> Response:
        """The session ends, and the cookie goes."""
        self._gate.refuse_foreign_pages(request, Access.WRITE)
        session = self._gate.session_of(request)
        if session is None:
            raise HTTPException(401, "nobody is signed in here")
        self._gate.sessions.end(session)
        return reply({"signed_in": False}, headers={"Set-Cookie": _cookie(request, "", 0)})

    async def state(self, request: Request) -> Response:
        """The document."""
        _, whole = self._feed.whole()
        return Response(
            with_viewer(whole, self._viewer(request.scope[CLIENT])),
            headers={"Cache-Control": "no-store"},
            media_type="application/json",
        )

    async def history(self, request: Request) -> Response:
        """The charts' past."""
        return reply(self._view.traffic.chart())

    async def stream(self, request: Request) -> Response:
        """The document and what changes."""
        client: Client = request.scope[CLIENT]
        if request.method == "HEAD":
            return Response(headers={**HEADERS, "Content-Type": "text/event-stream"})

        def is_valid() -> bool:
            return client.session is None or self._gate.is_signed_in(client.session)

        return StateStream(self._feed, self._viewer(client), self._view.traffic.chart, is_valid)

    def _viewer(self, client: Client) -> dict[str, Any]:
        """What is said of who looks."""
        auth = self._view.config.admin.auth
        needs_token = bool(auth.tokens or auth.read_only_tokens)
        viewer: dict[str, Any] = {
            "needs_token": needs_token,
            "signed_in": bool(client.token),
            "may_change": client.may_change,
        }
        if client.token:
            viewer["name"] = client.token
        if client.session is not None:
            viewer["ends_at"] = round(time.time() + client.session.ends_at - time.monotonic())
        return viewer


def _cookie(request: Request, value: str, left_s: int) -> str:
    """Set-Cookie. Secure also behind a proxy that speaks TLS: the browser's Origin tells."""
    secure = is_secure(request)
    fields = [f"{cookie_name(request, secure)}={value}", "Path=/dashboard", f"Max-Age={left_s}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*fields, "Secure"] if secure else fields)


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS."""
    return request.url.scheme == "https" or urlsplit(request.headers.get("origin", "")).scheme == "https"
