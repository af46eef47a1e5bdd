"""HTTP client for the admin API of a running instance."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import click

from balance.errors import BalanceError
from balance.model import Address

DEFAULT = "127.0.0.1:9090"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0  # for GET
ORDER_TIMEOUT_S = 150.0  # for orders; a reload waits for every worker, and the instance's own timeout is shorter
EVENTS_IDLE_TIMEOUT_S = 45.0  # three heartbeats of the event stream
EXIT_NOT_RUNNING = 2


class NotRunningError(click.ClickException):
    """No Balance is running at that address."""

    exit_code = EXIT_NOT_RUNNING

    def show(self, file: Any = None) -> None:
        """Print the message in one line."""
        click.echo(f"balance: {self.message}", err=True)


class NoResponseError(BalanceError):
    """The instance accepted the connection but did not respond."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of the instance."""

    status: int
    document: dict[str, Any]

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def error(self) -> str:
        """The error message, in one line."""
        return str(self.document.get("error") or f"it answered {self.status}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """A client for one address: host:port, :port, unix:/path or http://host:port."""

    def __init__(self, text: str) -> None:
        try:
            self._address = Address.parse(text.removeprefix("http://").rstrip("/"), default_host="127.0.0.1")
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--admin") from None

    def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | bytes | None = None,
        query: dict[str, str] | None = None,
        *,
        expected: str = "",
    ) -> Reply:
        """Send a request. NotRunningError when no Balance listens there, NoResponseError when it does not respond.

        `expected` is a key of Balance's successful response, to tell it from another server that answers with JSON.
        """
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        timeout_s = READ_TIMEOUT_S if method == "GET" else ORDER_TIMEOUT_S
        connection = self._connect(timeout_s)
        try:
            connection.request(method, _target(path, query), data, {"Accept": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except TimeoutError:
            later = "" if method == "GET" else "; it may still do what was asked"
            message = f"{self._address} has not answered within {timeout_s:g}s{later}"
            raise NoResponseError(message) from None
        except (OSError, http.client.HTTPException) as error:
            raise NoResponseError(f"{self._address} broke off: {error or type(error).__name__}") from None
        finally:
            connection.close()
        reply = Reply(response.status, self._document(content))
        if reply.is_done and expected and expected not in reply.document:
            raise self._not_running()
        return reply

    def listen(self, since: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """As events(), but connected when it returns."""
        events = self.events(since, is_told=True)
        next(events)
        return events

    def events(self, since: str, *, is_told: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """The id and document of each event until the stream ends. `is_told`: yields an empty event first, once connected."""
        connection = self._connect(EVENTS_IDLE_TIMEOUT_S)
        try:
            connection.request("GET", _target("/events", {"since": since} if since else None))
            response = connection.getresponse()
            if response.status != 200:
                raise NoResponseError(Reply(response.status, self._document(response.read())).error)
            if is_told:
                yield "", {}
            yield from _read_events(response)
        except (OSError, http.client.HTTPException):
            return  # disconnected: the caller connects again
        finally:
            connection.close()

    @property
    def is_local(self) -> bool:
        """Whether the address is a Unix socket or a loopback address of this host."""
        address = self._address
        if address.is_unix or address.host == "localhost":
            return True
        return address.is_ip and ipaddress.ip_address(address.host).is_loopback

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        address = self._address
        connection: http.client.HTTPConnection
        if address.is_unix:
            connection = _UnixConnection(address.path, CONNECT_TIMEOUT_S)
        else:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=CONNECT_TIMEOUT_S)
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
            raise NotRunningError(
                f"nobody answers at {address} ({reason.lower()}); start one by 'balance serve', or say where its admin port "
                "is by --admin ADDRESS or BALANCE_ADMIN"
            ) from None
        connection.sock.settimeout(timeout_s)
        return connection

    def _document(self, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._not_running()
        return document

    def _not_running(self) -> NotRunningError:
        return NotRunningError(
            f"what answers at {self._address} is not Balance's admin port; say where that is by --admin ADDRESS or "
            "BALANCE_ADMIN"
        )


def backend_path(name: str) -> str:
    """The path of a backend in the API, for a name or pool/name."""
    return f"/backends/{quote(name, safe='/')}"


def _target(path: str, query: dict[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _read_events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    number, data = "", ""
    while line := response.readline().decode():
        name, _, value = line.rstrip("\r\n").partition(": ")
        match name:
            case "id":
                number = value
            case "data":
                data = value
            case "" if data:
                yield number, json.loads(data)
                data = ""
