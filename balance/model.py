"""Types that all layers share: addresses, modes, and outcomes of requests."""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


class Mode(enum.StrEnum):
    """The protocol of a listener."""

    TCP = "tcp"
    HTTP = "http"


class TryPhase(enum.Enum):
    """The phase in which a request to a backend failed. Only CONNECT proves that nothing was sent."""

    CONNECT = "connect"
    SEND = "send"
    HEAD = "head"
    BODY = "body"


class Outcome(enum.IntEnum):
    """The outcome of a lease for its backend's health."""

    OK = 0
    FAILED = 1  # by the backend: refused, reset, invalid, too slow
    ABORTED = 2  # by the client or by us: does not count for or against the backend


class Why(enum.IntEnum):
    """How a request or connection ended. The numbers are cells of the shared board, so append only."""

    OK = 0
    CONNECT_REFUSED = 1
    CONNECT_TIMEOUT = 2
    CONNECT_FAILED = 3  # no route, name not resolved, no file descriptor left
    RESET_ON_REUSE = 4
    RESET_BEFORE_RESPONSE = 5
    RESET_MID_RESPONSE = 6
    RESPONSE_HEADER_TIMEOUT = 7
    RESPONSE_IDLE = 8
    BAD_RESPONSE = 9
    NO_HEALTHY = 10
    NO_ROUTE = 11
    BAD_REQUEST = 12
    HEADER_TIMEOUT = 13
    HEADER_TOO_LARGE = 14
    URI_TOO_LONG = 15
    BODY_TIMEOUT = 16
    BODY_TOO_LARGE = 17
    EXPECTATION_FAILED = 18
    NOT_IMPLEMENTED = 19
    METHOD_REFUSED = 20
    CLIENT_ABORT = 21
    CLIENT_TOO_SLOW = 22
    TOTAL_TIMEOUT = 23
    IDLE_TIMEOUT = 24
    DRAINING = 25
    INTERNAL_ERROR = 26
    BREAKER_OPEN = 27
    LIMIT = 28  # every backend is at max_connections and the queue is full
    QUEUE_TIMEOUT = 29
    DENIED = 30  # by a rule
    AMBIGUOUS_PATH = 31  # a backend may read the path in another way than the rules
    REDIRECTED = 32  # answered here by a route or a rule
    FIXED_RESPONSE = 33  # likewise
    FAULT_INJECTED = 34
    SESSION_STORE = 35  # the store of sessions can't be used, and on_failure is deny
    BLOCKED = 36  # by an access list, or at run time
    TOO_MANY_CONNECTIONS = 37  # of one client address
    CONNECTION_RATE = 38  # likewise: too many a second
    PREFLIGHT = 39  # answered here, see security.cors
    UNAUTHORIZED = 40  # no credentials, or wrong ones
    AUTH_UNAVAILABLE = 41  # nobody could say whether they are right
    TLS_PROTOCOL = 42  # a ClientHello, record or handshake message that breaks the protocol
    TLS_NO_SHARED_CIPHER = 43  # no version, cipher suite or signature algorithm in common
    TLS_UNKNOWN_NAME = 44  # with strict_sni
    TLS_CLIENT_CERTIFICATE = 45  # none, or one that is not trusted
    TLS_TIMEOUT = 46  # of the handshake
    TLS_NOT_TLS = 47  # plain HTTP, say, on a port with TLS
    TLS_ABORTED = 48  # the client left during the handshake
    PROXY_HEADER = 49  # no PROXY header came in time, or a wrong one, or from who may send none
    RATE_LIMITED = 50
    RATE_LIMIT_STORE = 51  # the store of limits that machines share can't be used, and on_failure is deny
    MISDIRECTED = 52  # for another host than the one that the connection's client certificate was verified for
    TLS_SERVER_CERTIFICATE = 53  # the client does not take ours
    KEYS_UNAVAILABLE = 54  # the keys of tokens can't be had from their URL
    BACKEND_TLS_PROTOCOL = 55  # a handshake with a backend failed: it speaks no TLS, no version or suite of ours, or breaks off
    BACKEND_TLS_CERTIFICATE = 56  # a backend's certificate is not trusted, has expired, or is not for servers
    BACKEND_TLS_NAME = 57  # a backend's certificate is for another name or address
    BACKEND_TLS_REFUSED = 58  # a backend refuses our own certificate, or wants one
    BACKEND_TLS_TIMEOUT = 59  # the handshake with a backend did not end within timeouts.connect
    HTTP2_ERROR = 60  # a client broke the protocol in a way that ends its connection
    HTTP2_FLOOD = 61  # a client did too often what costs it nothing and others much
    NEEDS_HTTP1 = 62  # an upgrade to WebSocket, say, for a backend that speaks HTTP/2 alone
    STREAM_REFUSED = 63  # a backend has refused the request without looking at it, and it could not be sent elsewhere

    @property
    def word(self) -> str:
        """The name in logs and metrics, e.g. ``connect_refused``."""
        return self.name.lower()


# How a TLS handshake with a backend failed.
BACKEND_TLS: Final = frozenset(why for why in Why if why.word.startswith("backend_tls_"))


class Counted(enum.IntEnum):
    """What stages count of their own, besides how each request ends. The numbers are cells of the board, so append only."""

    COMPRESSED = 0  # replies that were compressed
    COMPRESSION_IN = 1  # their bytes before
    COMPRESSION_OUT = 2  # and after
    COMPRESSION_SKIPPED = 3  # replies that were left as they are for want of memory for it
    AUTH_ASKED = 4  # questions to authorizers
    AUTH_ALLOWED = 5
    AUTH_DENIED = 6
    AUTH_FAILED = 7  # no answer, or none that decides


@lru_cache(maxsize=1024)  # asked at each dial
def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether it is a loopback address, an IPv4-mapped one too, which CPython before 3.13 denies. A name is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address.is_loopback if mapped is None else mapped.is_loopback


@dataclass(frozen=True, slots=True)
class Address:
    """An address to connect to or listen on: host and port, or the path of a Unix socket (then port is 0)."""

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str, *, default_host: str = "") -> Address:
        """Parse ``host:port``, ``:port``, ``[v6]:port`` or ``unix:/path``.

        ValueError quotes the text. An empty host becomes `default_host`.
        """
        if text.startswith("unix:"):
            path = text[5:]
            if not path.startswith("/"):
                raise ValueError(f"{text!r} needs an absolute path, like unix:/run/app.sock")
            if "\0" in path:
                raise ValueError(f"{text!r}: a path has no NUL")
            if len(path.encode()) > 107:  # sun_path holds 108 bytes with its NUL
                raise ValueError(f"{text!r} is longer than the 107 bytes a Unix socket's path may have")
            return cls("", 0, path)
        host, colon, port_text = text.rpartition(":")
        if not colon:
            raise ValueError(f"{text!r} has no port; write host:port, :port, [v6]:port or unix:/path")
        if not (port_text.isascii() and port_text.isdigit()):
            raise ValueError(f"{text!r}: the port {port_text!r} is not a number")
        port = int(port_text)
        if not 0 <= port <= 65535:
            raise ValueError(f"{text!r}: port {port} is not in 0..65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            try:
                ipaddress.IPv6Address(host)
            except ValueError:
                raise ValueError(f"{text!r}: {host!r} is not an IPv6 address") from None
        elif ":" in host:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, like [::1]:8080")
        elif any(c.isspace() or c in "/@?#" or not c.isprintable() for c in host):
            raise ValueError(f"{text!r}: {host!r} is not a host name")
        elif any(not 0 < len(label) < 64 for label in host.removesuffix(".").split(".")) and host:
            raise ValueError(f"{text!r}: {host!r} is not a host name: between its dots stand 1 to 63 characters")  # RFC 1035
        return cls(host or default_host, port)

    @property
    def is_unix(self) -> bool:
        return bool(self.path)

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address, so that no name has to be resolved."""
        return _is_ip(self.host)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it: by a loopback address, or a Unix socket."""
        return self.is_unix or self.host == "localhost" or is_loopback(self.host)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
