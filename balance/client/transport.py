"""What every method of the client goes through: requests with the token, waiting for who is held up, replies or exceptions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from balance.client.access import DEFAULT, Access, access_of_environment, access_to
from balance.client.connection import Connection, Reply
from balance.client.errors import AccessError, BadReplyError, NotAuthorisedError, refusal

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0
ORDER_TIMEOUT_S = 150.0  # a reload waits for every worker, and the instance's own timeout is shorter
EVENTS_IDLE_TIMEOUT_S = 45.0  # three heartbeats of the event stream
TOO_MANY = 429
MAX_RETRIES, MAX_WAIT_S = 4, 5  # of a request that is held up

Method = TypeVar("Method", bound=Callable[..., Any])
OPERATIONS: dict[str, str] = {}  # "GET /status" of the OpenAPI document to the name of the method


def operation(*endpoints: str) -> Callable[[Method], Method]:
    """Which endpoints a method stands for."""

    def noted(method: Method) -> Method:
        OPERATIONS.update(dict.fromkeys(endpoints, method.__name__))
        return method

    return noted


class Transport:
    """Where an instance is, and how it is asked. Each request has a connection of its own, so threads may share a client."""

    def __init__(
        self,
        address: str = DEFAULT,
        *,
        token: str = "",
        token_file: str = "",
        ca_file: str = "",
        client_cert: str = "",
        client_key: str = "",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        timeout_s: float = READ_TIMEOUT_S,
        order_timeout_s: float = ORDER_TIMEOUT_S,
    ) -> None:
        """`address` is host:port, :port, unix:/path, or https://host:port.

        `token_file` is better than `token`. `ca_file` has who vouches for the port's certificate (without it: whom the machine
        trusts), `client_cert` a certificate of yours with its key, or `client_key` that key. `timeout_s` is for a whole reply,
        `order_timeout_s` for that to an order. AccessError for what can't be used; nothing is sent yet.
        """
        self._access = access_to(
            address, token=token, token_file=token_file, ca_file=ca_file, client_cert=client_cert, client_key=client_key
        )
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._order_timeout_s = order_timeout_s

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._access.url})"

    def use(self, access: Access) -> None:
        """Another way in."""
        self._access = access

    def use_environment(self, address: str = "") -> None:
        """BALANCE_ADMIN (or `address`) and the variables beside it, as the commands do."""
        self._access = access_of_environment(address)

    @property
    def access(self) -> Access:
        """Where it is and what gets in."""
        return self._access

    def get(self, path: str, query: Mapping[str, str] | None = None, *, expected: str = "") -> dict[str, Any]:
        """The JSON of an endpoint. `expected` is a key that Balance's reply has, to tell it from another server's."""
        return self.get_with_version(path, query, expected=expected)[0]

    def get_with_version(
        self, path: str, query: Mapping[str, str] | None = None, *, expected: str = ""
    ) -> tuple[dict[str, Any], str]:
        """The same, and which version of it that is (its ETag), where the instance says so."""
        reply, document = self._ask("GET", target_of(path, query), None, {}, self._timeout_s, expected)
        if not 200 <= reply.status < 300:
            raise self._refusal(reply.status, document)
        return document, reply.version

    def get_any(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status and JSON of an endpoint whose refusal is an answer, too."""
        reply, document = self._ask("GET", path, None, {}, self._timeout_s, "")
        return reply.status, document

    def get_text(self, path: str, accept: str) -> str:
        """The text of an endpoint."""
        with self._connect(self._timeout_s) as connection:
            reply = connection.request("GET", path, None, lambda: self._fields({"Accept": accept}))
            if not 200 <= reply.status < 300:
                raise self._refusal(reply.status, reply.document())
            try:
                return reply.body().decode()
            except UnicodeDecodeError:
                raise BadReplyError(f"{path}: the reply is not UTF-8 text") from None

    def order(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        dry_run: bool = False,
        if_version: str = "",
        expected: str = "done",
    ) -> dict[str, Any]:
        """Sends an order. RefusedError when nothing was done; TimeLimitError, BrokenOffError when that is not known."""
        if self._access.read_only_reason:
            raise AccessError(self._access.read_only_reason)
        more = {"If-Match": _entity_tag(if_version)} if if_version else {}
        data = bytes(body) if isinstance(body, (bytes, bytearray)) else None if body is None else json.dumps(body).encode()
        target = target_of(path, {"dry_run": "true"} if dry_run else None)
        reply, document = self._ask(method, target, data, more, self._order_timeout_s, expected)
        if not 200 <= reply.status < 300:
            raise self._refusal(reply.status, document)
        return document

    def open_stream(self, path: str, last_id: str = "") -> tuple[Connection, Reply]:
        """An endpoint whose reply has no end. The connection is the caller's to close."""
        connection = self._connect(EVENTS_IDLE_TIMEOUT_S)
        try:
            more = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            reply = connection.request("GET", path, None, lambda: self._fields(more))
            if reply.status != 200:
                raise self._refusal(reply.status, reply.document())
            if reply.content_type != "text/event-stream":
                raise connection.not_balance()
        except BaseException:
            connection.close()
            raise
        return connection, reply

    def _ask(
        self, method: str, target: str, data: bytes | None, more: Mapping[str, str], timeout_s: float, expected: str
    ) -> tuple[Reply, dict[str, Any]]:
        for left in reversed(range(MAX_RETRIES)):
            with self._connect(timeout_s) as connection:
                reply = connection.request(method, target, data, lambda: self._fields(more))
                document = reply.document()
            wait_s = _wait_s(reply)
            if not wait_s or not left:
                break
            time.sleep(wait_s)  # somebody has guessed tokens from this address
        if expected and 200 <= reply.status < 300 and expected not in document:
            raise connection.not_balance()
        return reply, document

    def _refusal(self, status: int, document: dict[str, Any]) -> Exception:
        address = self._access.address
        if status == 401:
            has_token = bool(self._access.token)
            message = f"does not take the token of {self._access.token_source}" if has_token else "asks for a token"
            error = NotAuthorisedError(f"{address} {message}", status, document)
            error.was_sent = has_token
            return error
        return refusal(status, document)

    def _connect(self, timeout_s: float) -> Connection:
        return Connection(self._access, connect_timeout_s=self._connect_timeout_s, timeout_s=timeout_s)

    def _fields(self, more: Mapping[str, str]) -> dict[str, str]:
        token = self._access.token
        return {"Accept": "application/json", **more} | ({"Authorization": f"Bearer {token.reveal()}"} if token else {})


def target_of(path: str, query: Mapping[str, str] | None) -> str:
    """A path with a query."""
    return f"{path}?{urlencode(query)}" if query else path


def backend_path(name: str) -> str:
    """The path of a backend, for a name or pool/name."""
    return f"/backends/{quote(name, safe='/')}"


def _entity_tag(version: str) -> str:
    if not (version.isascii() and version.isprintable() and '"' not in version):
        raise AccessError(f"{version!r} is no version of an admin port's")
    return f'"{version}"'


def _wait_s(reply: Reply) -> float:
    """How long to wait before another try, when that is soon."""
    text = reply.retry_after
    is_soon = reply.status == TOO_MANY and text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= MAX_WAIT_S
    return float(text) if is_soon else 0.0
