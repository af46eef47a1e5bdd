"""ClientHellos for tests: real ones by OpenSSL, and made by hand."""

from __future__ import annotations

import contextlib
import ssl


def real_hello(
    server_name: str | None = "www.example.com", alpn: tuple[str, ...] = ("h2", "http/1.1"), **versions: object
) -> bytes:
    """What Python's ssl sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    for name, version in versions.items():
        setattr(context, name, version)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size, "big") + content


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)


def sni(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, bytes([kind]) + vector(2, name)))


def body(extensions: bytes | None, *, suites: bytes = b"\x13\x01", session: bytes = b"", methods: bytes = b"\0") -> bytes:
    tail = b"" if extensions is None else vector(2, extensions)
    return b"\x03\x03" + bytes(32) + vector(1, session) + vector(2, suites) + vector(1, methods) + tail


def message(content: bytes, kind: int = 1) -> bytes:
    return bytes([kind]) + vector(3, content)


def records(handshake: bytes, sizes: tuple[int, ...] = ()) -> bytes:
    """In records of these sizes; the last one has the rest."""
    sent = b""
    for size in sizes:
        if handshake:
            sent += b"\x16\x03\x01" + vector(2, handshake[:size])
            handshake = handshake[size:]
    return sent + (b"\x16\x03\x01" + vector(2, handshake) if handshake else b"")


def hello(extensions: bytes | None = None, sizes: tuple[int, ...] = ()) -> bytes:
    return records(message(body(extensions)), sizes)
