"""One request to an admin port and its reply: sockets, TLS, time limits, sizes.

A time limit is of the whole reply: a peer that sends a byte now and then does not go on for ever.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

from balance.client.access import Access
from balance.client.errors import BadReplyError, BrokenOffError, NotBalanceError, TimeLimitError, TlsProblem, UnreachableError
from balance.client.printable import printable

MAX_REPLY_BYTES = 64 * 1024 * 1024  # 10,000 backends are some 10 MB
NOT_TLS = b"This port speaks TLS"  # how a port with TLS answers plain HTTP


class Deadline:
    """Until when something may take."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.restart()

    def restart(self) -> None:
        """From now on."""
        self._at = time.monotonic() + self.limit_s

    def left_s(self) -> float:
        """TimeoutError when it is over."""
        left_s = self._at - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError
        return left_s


class _DeadlineReader(io.RawIOBase):
    """Reads of a socket that wait no longer than a deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left_s())
        return self._sock.recv_into(buffer)


class _ReadSide:
    """What http.client asks for a file to read the reply from."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline), 65536)


class Reply:
    """A reply whose body is yet to be read."""

    def __init__(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.version = response.headers.get("ETag", "").removeprefix("W/").strip('"')
        self.retry_after = response.headers.get("Retry-After", "")

    def body(self) -> bytes:
        """The whole body."""
        with self._connection.explained():
            content = self._response.read(MAX_REPLY_BYTES + 1)
            if len(content) > MAX_REPLY_BYTES:
                raise BadReplyError(f"{self._connection.access.address} answers with more than {MAX_REPLY_BYTES >> 20} MB")
            if self._response.length:  # read() with a size says nothing of a body that is too short
                raise http.client.IncompleteRead(b"", self._response.length)
        return content

    def document(self) -> dict[str, Any]:
        """The JSON object that the body is. NotBalanceError for anything else."""
        content = self.body()
        if self.status == 400 and content.startswith(NOT_TLS):
            address = str(self._connection.access.address)
            raise BrokenOffError(f"{address} speaks TLS", address, TlsProblem.SPEAKS_TLS)
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._connection.not_balance()
        return document

    def line(self) -> str:
        """The next line of an endless body; the deadline begins anew. An empty text at the end."""
        self._connection.deadline.restart()
        line = self._response.readline(MAX_REPLY_BYTES + 1)
        if len(line) > MAX_REPLY_BYTES:
            raise BadReplyError(f"{self._connection.access.address} sends a line of more than {MAX_REPLY_BYTES >> 20} MB")
        return line.decode("utf-8", "replace")


class _Explained:
    """Turns what sockets and http.client raise into a ContactError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError):
            raise self._connection.too_slow() from None
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise self._connection.broken_off(error) from None


class Connection:
    """One connection for one request; a context manager."""

    def __init__(self, access: Access, *, connect_timeout_s: float, timeout_s: float) -> None:
        self.access = access
        self.deadline = Deadline(timeout_s)
        self._later = ""
        self._http = http.client.HTTPConnection("localhost")
        self._http.sock = self._dial(connect_timeout_s)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it; from another thread, too."""
        if self._http.sock is not None:
            with contextlib.suppress(OSError):
                self._http.sock.shutdown(socket.SHUT_RDWR)  # wakes up who reads from it
        self._http.close()

    def explained(self) -> _Explained:
        """A context in which failures become a ContactError."""
        return _Explained(self)

    def request(self, method: str, target: str, body: bytes | None, fields: Callable[[], dict[str, str]]) -> Reply:
        """Sends a request. The reply's head has come when this returns."""
        self.deadline.restart()
        self._later = "" if method == "GET" else "; it may still do what was asked"
        with self.explained():
            self._http.sock.settimeout(self.deadline.left_s())
            self._http.request(method, target, body, {"Host": self._host()} | fields())
            read_side = cast(socket.socket, _ReadSide(self._http.sock, self.deadline))
            response = http.client.HTTPResponse(read_side, method=method)
            response.begin()
        return Reply(self, response)

    def _host(self) -> str:
        return "localhost" if self.access.address.is_unix else str(self.access.address)

    def _dial(self, timeout_s: float) -> socket.socket:
        address = self.access.address
        try:
            if address.is_unix:
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(timeout_s)
                try:
                    sock.connect(address.path)
                except BaseException:
                    sock.close()
                    raise
            else:
                sock = socket.create_connection((address.host, address.port), timeout_s)
        except (OSError, UnicodeError) as error:
            reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
            raise UnreachableError(f"nobody answers at {address} ({reason.lower()})") from None
        if not self.access.is_tls:
            return sock
        try:
            return self._secure(sock)
        except BaseException:
            sock.close()
            raise

    def _secure(self, sock: socket.socket) -> socket.socket:
        """The TLS handshake, and whether it is with whom it should be."""
        access, address = self.access, str(self.access.address)
        context, expected = access.context(), access.expected_der()
        try:
            secured = context.wrap_socket(sock, server_hostname=access.address.host or "localhost")
        except ssl.SSLCertVerificationError as error:
            text = f"{access.url}: its certificate can't be trusted: {error.verify_message}"
            raise BrokenOffError(text, address, TlsProblem.UNTRUSTED) from None
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            problem = None if "alert" in reason else TlsProblem.SPEAKS_NO_TLS
            raise BrokenOffError(f"{access.url}: no TLS handshake: {reason}", address, problem) from None
        except OSError as error:
            raise BrokenOffError(f"{access.url}: no TLS handshake: {error.strerror or 'it has not answered'}") from None
        if expected is not None and secured.getpeercert(binary_form=True) != expected:
            secured.close()
            text = f"{access.url} shows another certificate than {access.pinned_cert}"
            raise BrokenOffError(text, address, TlsProblem.OTHER_CERTIFICATE)
        return secured

    def too_slow(self) -> TimeLimitError:
        """For a reply that has not come in time."""
        return TimeLimitError(f"{self.access.address} has not answered within {self.deadline.limit_s:g}s{self._later}")

    def broken_off(self, error: BaseException) -> BrokenOffError:
        """For a connection that ended too early."""
        reason = getattr(error, "reason", None) or ""
        if isinstance(error, ssl.SSLError) and "CERTIFICATE" in reason and "ALERT" in reason:
            text = f"{self.access.url} takes no client without a certificate that it trusts"
            return BrokenOffError(text, str(self.access.address), TlsProblem.WANTS_CERTIFICATE)
        return BrokenOffError(
            f"{self.access.address} broke off: {printable(str(error))[:200] or type(error).__name__}{self._later}"
        )

    def not_balance(self) -> NotBalanceError:
        """For replies that are somebody else's."""
        return NotBalanceError(f"what answers at {self.access.address} is not Balance's admin port")
