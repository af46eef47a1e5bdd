"""`balance healthcheck`: one question to the instance beside it, for Docker, and a status. Loads next to nothing.

It asks /health of each place where it may be, `metrics.listen` first, which speaks no TLS and wants no certificate; the
first that answers decides. Nothing secret is sent, so whose certificate it is does not matter.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import click

from balance.errors import ConfigError
from balance.model import Address

DEFAULT: Final = "127.0.0.1:9090"
DEFAULT_FILE: Final = "config.yaml"
URL: Final = "BALANCE_HEALTHCHECK_URL"
MAX_FILE: Final = 16 * 1024 * 1024
MAX_REPLY: Final = 256 * 1024
_LOCAL: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class Place(NamedTuple):
    """Where an instance may answer, and the page to ask for."""

    address: Address
    is_tls: bool = False
    path: str = ""

    def __str__(self) -> str:
        return f"{'https://' if self.is_tls else ''}{self.address}{self.path}"


@click.command(
    "healthcheck", epilog="\b\nExamples:\n  balance healthcheck\n  balance healthcheck --ready --admin 127.0.0.1:9091"
)
@click.option("--config", metavar="FILE", envvar="BALANCE_CONFIG", help="The instance's configuration; also BALANCE_CONFIG.")
@click.option("--admin", metavar="ADDRESS", help=f"Ask there; https://, unix:, a path are understood. Also {URL}.")
@click.option("--ready", is_flag=True, help="Whether it wants traffic, instead of whether it lives.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, metavar="SECONDS", help="For all of it."
)
def healthcheck_command(config: str | None, admin: str | None, ready: bool, timeout: float) -> int:
    """Say whether the instance on this machine is healthy; exit status 0 or 1. For a container's HEALTHCHECK."""
    deadline = time.monotonic() + timeout
    said = ""
    try:
        places = list(dict.fromkeys(find_places(config, admin, os.environ)))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not places:  # an orchestrator that starts the unhealthy again would do so for ever
        click.echo("nobody to ask: the configuration has neither admin nor metrics.listen")
        return 0
    for place in places:
        try:
            status, text = ask(place, place.path or ("/ready" if ready else "/health"), deadline)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            said = f"{place}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
            continue
        click.echo(text, err=status != 200)
        return 0 if status == 200 else 1
    click.echo(f"balance: {said}", err=True)
    return 1


def find_places(config: str | None, admin: str | None, env: Mapping[str, str]) -> Iterator[Place]:
    """Where to ask, the likeliest first. ValueError quotes an address that is none.

    A file that can't be read says nothing: the instance may well serve with what it was before.
    """
    if given := admin or env.get(URL) or env.get("BALANCE_ADMIN"):
        yield parse_place(given)
        return
    data = _data(config or DEFAULT_FILE, env)
    for name in ("metrics", "admin"):
        section = data.get(name)
        section = section if isinstance(section, dict) else {}
        tls = section.get("tls")
        listen = section.get("listen", DEFAULT if name == "admin" else None)
        if isinstance(listen, str | int) and section.get("enabled") is not False:
            is_tls = isinstance(tls, dict) and tls.get("enabled") is not False
            with contextlib.suppress(ValueError):  # the file has changed since, and the instance has refused it
                yield parse_place(f"{'https://' if is_tls else ''}{listen}")


def parse_place(text: str) -> Place:
    """host:port, :port, unix:/path, or a URL with a path or without."""
    scheme, mark, rest = text.partition("://")
    bare = rest if mark else text
    path = ""
    if not bare.startswith(("unix:", "/")):
        bare, slash, path = bare.partition("/")
        path = slash + path if path else ""
    if mark and ":" not in bare.rpartition("]")[2]:
        bare += ":443" if scheme == "https" else ":80"
    address = Address.parse(bare, default_host="127.0.0.1")
    if address.host in _LOCAL and not address.is_unix:
        address = Address(_LOCAL[address.host], address.port)
    return Place(address, scheme == "https", path)


def _data(file: str, env: Mapping[str, str]) -> dict[str, Any]:
    from balance.config.reading.reader import read  # where no address was given

    try:
        with open(file, encoding="utf-8") as opened:
            return read(opened.read(MAX_FILE), file, env)[0].data
    except OSError as error:
        if file != DEFAULT_FILE:
            click.echo(f"balance: {file}: {error.strerror}; asked is where an instance is by default", err=True)
        return {}
    except (ValueError, ConfigError):
        return {}


def ask(place: Place, path: str, deadline: float) -> tuple[int, str]:
    """One GET: the status, and what to print. OSError or ValueError when there is no such answer in time."""
    address = place.address
    with socket.socket(socket.AF_UNIX) if address.is_unix else _connected(address, deadline) as sock:
        sock.settimeout(_left(deadline))
        if address.is_unix:
            sock.connect(address.path)
        if place.is_tls:
            with _secured(sock) as secured:
                return _reply(secured, path, deadline)
        return _reply(sock, path, deadline)


def _connected(address: Address, deadline: float) -> socket.socket:
    return socket.create_connection((address.host, address.port), _left(deadline))


def _secured(sock: socket.socket) -> socket.socket:
    import ssl  # where it is spoken alone

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair := os.environ.get("BALANCE_ADMIN_CLIENT_CERT"):
        context.load_cert_chain(pair)
    return context.wrap_socket(sock)


def _reply(sock: socket.socket, path: str, deadline: float) -> tuple[int, str]:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: balance-healthcheck\r\nConnection: close\r\n\r\n"
    sock.sendall(request.encode("ascii"))
    data = bytearray()
    while len(data) < MAX_REPLY:
        sock.settimeout(_left(deadline))
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("what answers speaks no HTTP")
    return int(rest[:3]), _told(int(rest[:3]), body)


def _told(status: int, body: bytes) -> str:
    """One line, of whatever answers."""
    try:
        document = json.loads(body)
        reasons = [str(each) for each in document.get("reasons", ())]
        text = str(document["status"]) + (f": {'; '.join(reasons)}" if reasons else "")
    except (ValueError, KeyError, AttributeError, TypeError):
        text = f"status {status}"
    return "".join(char if char.isprintable() else "?" for char in text)[:400]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
