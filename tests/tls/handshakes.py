"""TLS handshakes in memory, between contexts."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import NamedTuple

from pem_files import Pair


class Shaken(NamedTuple):
    server: ssl.SSLObject
    client: ssl.SSLObject


def client_with(pair: Pair | None, version: str = "", chain: Path | None = None) -> ssl.SSLContext:
    """A client with this certificate, and one that it sends along; it trusts every server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[f"TLSv{version.replace('.', '_')}"]
    if pair is not None:
        cert = pair.cert
        if chain is not None:
            cert = pair.cert.with_suffix(".chain")
            cert.write_bytes(pair.cert.read_bytes() + chain.read_bytes())
        context.load_cert_chain(cert, pair.key)
    return context


def shake(
    policy: ssl.SSLContext, certificate: ssl.SSLContext | None, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Shaken:
    """Both sides after the handshake, the server's of two contexts as listeners do it. SSLError of the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = policy.wrap_bio(to_server, to_client, server_side=True)
    if certificate is not None:
        server.context = certificate
    caller = client.wrap_bio(to_client, to_server, server_hostname="a.example", session=session)
    with contextlib.suppress(ssl.SSLWantReadError):
        caller.do_handshake()
    while True:
        try:
            server.do_handshake()
            break
        except ssl.SSLWantReadError:
            with contextlib.suppress(ssl.SSLWantReadError):
                caller.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        caller.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        caller.read()
    return Shaken(server, caller)
