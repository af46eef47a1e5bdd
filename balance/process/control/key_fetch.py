"""Fetches a set of keys over HTTP, once, in the thread that calls it. Distrusts certificate, size, pace and redirects.

http.client knows nothing of proxies in the environment, caches or cookies, and blocks: a worker never imports it. Who waits
for the result gives up by itself, as a resolver may hang for long; close() ends what can be ended.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from balance.security.jwt_keys import jwks_keys
from balance.security.key_schedule import life_s
from balance.security.key_set import JwksSource
from balance.version import VERSION

MAX_BYTES: Final = 1024 * 1024
MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": f"balance/{VERSION}",
}


class FetchError(Exception):
    """Why there is no set, in words for a log: nothing of the URL, and printable."""


@dataclass(frozen=True, slots=True)
class Fetched:
    text: str
    life_s: float  # how long it is fresh


class KeyFetch:
    """One fetch."""

    __slots__ = ("_connection", "_ends_at", "_is_closed", "_source")

    def __init__(self, source: JwksSource) -> None:
        self._source = source
        self._connection: http.client.HTTPConnection | None = None
        self._ends_at = time.monotonic() + source.timeout_s
        self._is_closed = False

    def run(self) -> Fetched:
        """Blocks. FetchError."""
        try:
            return self._fetch(self._source.url)
        except FetchError as error:
            raise FetchError(self._late or _printable(str(error))) from None
        except TimeoutError:
            raise FetchError(f"no answer within {self._source.timeout_s:g}s") from None
        except ssl.SSLCertVerificationError as error:
            raise FetchError(f"its certificate is not trusted: {_printable(error.verify_message)}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise FetchError(self._late or _printable(words)) from None
        finally:
            self.close()

    @property
    def _late(self) -> str:
        """That it was too late, in words, whatever else went wrong then; "" where it was not."""
        is_late = self._is_closed or time.monotonic() >= self._ends_at
        return f"no answer within {self._source.timeout_s:g}s" if is_late else ""

    def close(self) -> None:
        """End it, from any thread."""
        self._is_closed = True
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads, which close() would not
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _fetch(self, url: str) -> Fetched:
        first = urlsplit(url)
        for _ in range(MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            response = self._ask(parts)
            if response.status not in _REDIRECTS:
                return self._read(response)
            url = urljoin(url, response.getheader("Location") or "")
            leads_to = urlsplit(url)
            if leads_to.hostname != first.hostname or (parts.scheme, leads_to.scheme) not in _MAY_LEAD:
                raise FetchError("it leads elsewhere, which is not followed: " + (leads_to.hostname or "nowhere"))
        raise FetchError(f"more than {MAX_REDIRECTS} redirects")

    def _ask(self, parts: SplitResult) -> http.client.HTTPResponse:
        if self._connection is not None:
            self._connection.close()
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            if self._source.ca:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(cadata=self._source.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=self._left_s(), context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self._left_s())
        self._connection = connection
        connection.request("GET", (parts.path or "/") + ("?" + parts.query if parts.query else ""), headers=_HEADERS)
        if self._is_closed:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(self._left_s())
        return connection.getresponse()

    def _read(self, response: http.client.HTTPResponse) -> Fetched:
        if response.status != 200:
            raise FetchError(f"it answers {response.status}")
        if response.getheader("Content-Encoding", "identity").lower() != "identity":
            raise FetchError("its answer is compressed, which nobody has asked for")
        data = bytearray()
        sock = None if self._connection is None else self._connection.sock
        while piece := response.read1(64 * 1024):
            data += piece
            if len(data) > MAX_BYTES:
                raise FetchError("its answer is longer than 1 MB")
            if sock is not None:
                sock.settimeout(self._left_s())
        if response.length:
            raise FetchError("its answer breaks off")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise FetchError("its answer is no text") from None
        try:
            jwks_keys(text)
        except ValueError as error:
            raise FetchError(f"its answer {error}") from None
        life = life_s(response.getheader("Cache-Control", ""), response.getheader("Age", ""), self._source.refresh_s)
        return Fetched(text, life)

    def _left_s(self) -> float:
        """TimeoutError when nothing is left."""
        left = self._ends_at - time.monotonic()
        if left <= 0 or self._is_closed:
            raise TimeoutError
        return left


_MAY_LEAD: Final = frozenset((("http", "http"), ("http", "https"), ("https", "https")))


def _printable(words: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in words[:200])
