"""A TLS client that blocks, on a thread of its own: Python's ssl over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from stage import Stage

T = TypeVar("T")


def client_context(alpn: tuple[str, ...] = (), **settings: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if "ciphers" in settings:
        context.set_ciphers(settings.pop("ciphers"))
    for name, value in settings.items():
        setattr(context, name, value)
    return context


async def with_client(
    stage: Stage,
    action: Callable[[ssl.SSLSocket], T],
    server_name: str | None = "a.example",
    context: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> T:
    """What `action` returns of a connection whose handshake is over."""

    def run() -> T:
        with socket.create_connection((stage.address.host, stage.address.port), timeout=10) as raw:
            used = context or client_context()
            with used.wrap_socket(raw, server_hostname=server_name, session=session) as client:
                return action(client)

    return await asyncio.get_running_loop().run_in_executor(None, run)


def exchange(request: bytes) -> Callable[[ssl.SSLSocket], bytes]:
    """Sends the request, and returns all that comes until the end."""

    def action(client: ssl.SSLSocket) -> bytes:
        client.sendall(request)
        received = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while data := client.recv(65536):
                received += data
        return received

    return action


def subject(client: ssl.SSLSocket) -> bytes:
    """The DER of the server's certificate."""
    return client.getpeercert(binary_form=True) or b""
