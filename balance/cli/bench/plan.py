"""What is to be measured, how, and against whom: the plan that a command's arguments make."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from balance.model import Address
from balance.version import VERSION

DEFAULT_PORTS = {"http": 80, "https": 443}
UNSENDABLE = ("HEAD", "CONNECT")  # their replies end by other rules than all others'


@dataclass(frozen=True, slots=True)
class Target:
    """A server: an HTTP one by its URL, or one that sends back what it gets, by its address."""

    is_http: bool
    is_tls: bool
    host: str
    port: int
    path: str  # with the query
    authority: str  # as Host says it

    @classmethod
    def parse(cls, text: str) -> Target:
        """ValueError says in a line what is wrong."""
        scheme, mark, rest = text.partition("://")
        if not mark:
            rest, scheme = text, "tcp"
        scheme = scheme.lower()
        if scheme not in ("tcp", *DEFAULT_PORTS):
            raise ValueError(f"{text!r} is neither a URL that begins with http:// or https:// nor HOST:PORT")
        if scheme == "tcp":
            address = Address.parse(rest.rstrip("/"), default_host="127.0.0.1")
            if address.is_unix or not address.port:
                raise ValueError(f"{text!r} has no port; write HOST:PORT")
            return cls(False, False, address.host, address.port, "", "")
        parts = urlsplit(text)
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL with a password in it is not used; say -H 'Authorization: ...'")
        if not parts.hostname:
            raise ValueError(f"{text!r} has no host")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii() or any(each <= " " or each == "\x7f" for each in path):
            raise ValueError(f"{text!r} has characters that must be written as %XX")
        port = parts.port or DEFAULT_PORTS[scheme]
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = host if port == DEFAULT_PORTS[scheme] else f"{host}:{port}"
        return cls(True, scheme == "https", parts.hostname, port, path, authority)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.is_http:
            return f"{'https' if self.is_tls else 'http'}://{self.authority}{self.path}"
        return f"tcp://{host}:{self.port}"

    @property
    def server_name(self) -> str:
        """What TLS asks for; an address is verified as one."""
        return self.host

    @property
    def is_address(self) -> bool:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What a client wants of TLS."""

    ca_file: str | None = None
    is_verified: bool = True
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Either `requests` or `duration_s` ends it, or whichever is first."""

    target: Target
    connections: int
    requests: int | None = None
    duration_s: float | None = None
    warmup_s: float = 0.0
    rate: float | None = None  # None: closed loop
    is_keepalive: bool = True
    timeout_s: float = 10.0
    size: int = 0  # bytes sent
    reply_size: int | None = None  # of a TCP server that is no echo
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()
    tls: TlsOptions = TlsOptions()
    processes: int = 1

    def shares(self) -> list[tuple[int, int | None]]:
        """Connections and requests of each process, which together are all."""
        shares = []
        for number in range(self.processes):
            connections = _share(self.connections, self.processes, number)
            shares.append((connections, None if self.requests is None else _share(self.requests, self.processes, number)))
        return shares


def _share(count: int, among: int, number: int) -> int:
    return count // among + (number < count % among)


def request_bytes(plan: Plan) -> bytes:
    """What each request is: made once."""
    if not plan.target.is_http:
        return payload(plan.size)
    names = {name.lower() for name, _ in plan.fields}
    own = [("Host", plan.target.authority), ("User-Agent", f"balance-bench/{VERSION}"), ("Accept", "*/*")]
    if plan.size or plan.method in ("POST", "PUT", "PATCH"):
        own.append(("Content-Length", str(plan.size)))
    if not plan.is_keepalive:
        own.append(("Connection", "close"))
    lines = [f"{plan.method} {plan.target.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in own if name.lower() not in names]
    lines += [f"{name}: {value}" for name, value in plan.fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + payload(plan.size)


def payload(size: int) -> bytes:
    """Bytes that show where they are from when they come back in another place."""
    pattern = bytes(range(32, 127))
    return (pattern * (size // len(pattern) + 1))[:size]
