"""Where spans are sent: the URL of `tracing.endpoint`, and what it means."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

FORMS: Final = "http://HOST:4318, https://HOST, grpc://HOST:4317 or grpcs://HOST"
TRACES: Final = "/v1/traces"  # the path of OTLP/HTTP
SERVICE: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_PORTS: Final = {"http": 80, "https": 443, "grpc": 4317, "grpcs": 443}
_SECURE: Final = frozenset(("https", "grpcs"))


class Endpoint(NamedTuple):
    """A receiver of OTLP."""

    is_grpc: bool
    is_secure: bool
    host: str
    port: int
    path: str  # with the query

    @property
    def authority(self) -> str:
        """As Host and :authority have it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """For messages: it has no secrets, since those are in `tracing.headers`."""
        scheme = ("grpc" if self.is_grpc else "http") + ("s" if self.is_secure else "")
        return f"{scheme}://{self.authority}{'' if self.is_grpc else self.path}"


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint of a URL. A path that does not end in /v1/traces is a base, and gets it. ValueError says what is wrong."""
    text = text.strip()
    if not text.isascii() or any(not character.isprintable() or character.isspace() for character in text):
        raise ValueError(f"a URL has no spaces, control characters or letters beyond ASCII; write {FORMS}")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"its host or port can't be read; write {FORMS}") from None
    if url.scheme not in _PORTS or "://" not in text:
        shown = f"the scheme {url.scheme[:20]!r} is not known" if url.scheme and "://" in text else "it is no URL"
        raise ValueError(f"{shown}; write {FORMS}")
    if url.username is not None or url.password is not None:
        raise ValueError("a user or password does not stand in it; write tracing.headers: {Authorization: ...}")
    if not url.hostname:
        raise ValueError(f"it has no host; write {FORMS}")
    if port == 0:
        raise ValueError("port 0 is not in 1..65535")
    if url.fragment:
        raise ValueError("a URL of a server has no #")
    is_grpc = url.scheme.startswith("grpc")
    if is_grpc and (url.path.strip("/") or url.query):
        raise ValueError("gRPC has no path: its name is fixed; write grpc://HOST:4317")
    path = url.path.rstrip("/")
    if is_grpc:
        path = SERVICE
    elif not path.endswith(TRACES):
        path += TRACES
    if url.query:
        path += f"?{url.query}"
    return Endpoint(is_grpc, url.scheme in _SECURE, url.hostname, port or _PORTS[url.scheme], path)
