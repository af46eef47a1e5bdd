"""HTTP client for the admin API of a running instance."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import click

from balance.cli.admin.admin_access import AdminAccess, parse_address
from balance.errors import BalanceError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0  # for GET
ORDER_TIMEOUT_S = 150.0  # for orders; a reload waits for every worker, and the instance's own timeout is shorter
EVENTS_IDLE_TIMEOUT_S = 45.0  # three heartbeats of the event stream
EXIT_NOT_RUNNING = 2
TOO_MANY = 429
MAX_RETRIES, MAX_WAIT_S = 4, 5  # of a request that is held up


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
    """A client for one address: host:port, :port, unix:/path, http://host:port or https://host:port."""

    def __init__(self, access: AdminAccess | str) -> None:
        self._access = parse_address(access) if isinstance(access, str) else access
        self._address = self._access.address

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
        for _ in range(MAX_RETRIES):
            reply, wait_s = self._send(method, _target(path, query), data)
            if not wait_s:
                break
            time.sleep(wait_s)  # somebody has guessed tokens from this address
        if reply.is_done and expected and expected not in reply.document:
            raise self._not_running()
        return reply

    def _send(self, method: str, target: str, data: bytes | None) -> tuple[Reply, float]:
        """The reply, and how long to wait before another try."""
        timeout_s = READ_TIMEOUT_S if method == "GET" else ORDER_TIMEOUT_S
        connection = self._connect(timeout_s)
        try:
            connection.request(method, target, data, self._fields())
            response = connection.getresponse()
            content = response.read()
        except TimeoutError:
            later = "" if method == "GET" else "; it may still do what was asked"
            message = f"{self._address} has not answered within {timeout_s:g}s{later}"
            raise NoResponseError(message) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._broken_off(error) from None
        finally:
            connection.close()
        reply = self._reply(response.status, content)
        retry_after = response.headers.get("Retry-After", "")
        is_soon = reply.status == TOO_MANY and retry_after.isdecimal() and int(retry_after) <= MAX_WAIT_S
        return reply, float(retry_after) if is_soon else 0.0

    def _fields(self) -> dict[str, str]:
        fields = {"Accept": "application/json"}
        if self._access.token:
            fields["Authorization"] = f"Bearer {self._access.token}"
        return fields

    def _reply(self, status: int, content: bytes) -> Reply:
        """What it says, where tokens are concerned in words of the command line."""
        if status == 400 and content.startswith(b"This port speaks TLS"):
            raise NoResponseError(f"{self._address} speaks TLS; write --admin https://{self._address}")
        reply = Reply(status, self._document(content))
        if status == 401:
            reply.document["error"] = (
                f"{self._address} does not take the token of {self._access.token_source}"
                if self._access.token
                else f"{self._address} asks for a token; write --token-file FILE, or set BALANCE_ADMIN_TOKEN"
            )
        return reply

    def _broken_off(self, error: Exception) -> NoResponseError:
        reason = getattr(error, "reason", None) or ""
        if isinstance(error, ssl.SSLError) and "CERTIFICATE" in reason and "ALERT" in reason:
            return NoResponseError(
                f"{self._access.url} takes no client without a certificate that it trusts; --client-cert FILE"
            )
        return NoResponseError(f"{self._address} broke off: {error or type(error).__name__}")

    def listen(self, since: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """As events(), but connected when it returns."""
        events = self.events(since, is_told=True)
        next(events)
        return events

    def events(self, since: str, *, is_told: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """The id and document of each event until the stream ends. `is_told`: yields an empty event first, once connected."""
        connection = self._connect(EVENTS_IDLE_TIMEOUT_S)
        try:
            connection.request("GET", _target("/events", {"since": since} if since else None), headers=self._fields())
            response = connection.getresponse()
            if response.status != 200:
                raise NoResponseError(self._reply(response.status, response.read()).error)
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
        if self._access.is_tls:
            self._secure(connection)
        connection.sock.settimeout(timeout_s)
        return connection

    def _secure(self, connection: http.client.HTTPConnection) -> None:
        """The TLS handshake, and whether it is with whom it should be."""
        context, expected = self._access.context(), self._access.expected_der()
        url, host = self._access.url, self._address.host or "localhost"
        try:
            secured = context.wrap_socket(connection.sock, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            why = f"{url}: its certificate can't be trusted: {error.verify_message}; --ca-file FILE names who vouches for it"
            raise NoResponseError(why) from None
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            hint = "" if "alert" in reason else f"; if it does not speak TLS, write --admin {self._address}"
            raise NoResponseError(f"{url}: no TLS handshake: {reason}{hint}") from None
        except OSError as error:
            raise NoResponseError(f"{url}: no TLS handshake: {error.strerror or 'it has not answered'}") from None
        connection.sock = secured
        if expected is not None and secured.getpeercert(binary_form=True) != expected:
            connection.close()
            raise NoResponseError(f"{url} shows another certificate than {self._access.pinned_cert}; --ca-file FILE, if it may")

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
