"""A backend with TLS that blocks, each connection on a thread of its own: Python's ssl over a socket."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pem_files import Authority, Pair

from balance.model import Address

Handler = Callable[[ssl.SSLSocket], None]
REQUEST_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(reply: bytes = OK) -> Handler:
    """Answers each request, and keeps the connection."""

    def handler(connection: ssl.SSLSocket) -> None:
        data = b""
        while more := connection.recv(65536):
            data += more
            while REQUEST_END in data:
                data = data.partition(REQUEST_END)[2]
                connection.sendall(reply)

    return handler


@dataclass
class TlsServer:
    """What it has seen: the names that were asked for, the certificates of clients, whether sessions were resumed."""

    address: Address
    names: list[str | None] = field(default_factory=list)
    clients: list[bytes | None] = field(default_factory=list)
    resumed: list[bool] = field(default_factory=list)
    failures: list[ssl.SSLError] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)  # how each connection ended: close_notify, or the error's name
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait(self) -> None:
        """Until one more connection has ended."""
        assert self.ended.acquire(timeout=10)


def server_context(pair: Pair, client_ca: Authority | None = None, **settings: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if client_ca is not None:
        context.load_verify_locations(client_ca.cert)
        context.verify_mode = ssl.CERT_REQUIRED
    for name, value in settings.items():
        setattr(context, name, value)
    return context


@contextlib.contextmanager
def tls_server(
    context: ssl.SSLContext, handler: Handler | None = None, host: str = "127.0.0.1", header_bytes: int = 0
) -> Iterator[TlsServer]:
    """Serves until the block ends. `header_bytes` are read before each handshake."""
    listening = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    server = TlsServer(Address(host, listening.getsockname()[1]))
    asked = threading.local()

    def named(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        asked.name = name

    context.sni_callback = named  # type: ignore[assignment]

    def serve(raw: socket.socket) -> None:
        asked.name = None
        raw.settimeout(10)
        with raw:
            if header_bytes:
                server.headers.append(raw.recv(header_bytes, socket.MSG_WAITALL))
            try:
                connection = context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False)
            except ssl.SSLError as error:
                server.names.append(asked.name)
                server.failures.append(error)
                return
            except OSError:
                return
            server.names.append(asked.name)
            server.clients.append(connection.getpeercert(binary_form=True))
            server.resumed.append(connection.session_reused or False)
            with connection:
                try:
                    (handler or answering())(connection)
                    server.ends.append("close_notify")
                except OSError as error:
                    server.ends.append(type(error).__name__)

    def play(raw: socket.socket) -> None:
        try:
            serve(raw)
        finally:
            server.ended.release()

    def accept() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=play, args=(raw,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
