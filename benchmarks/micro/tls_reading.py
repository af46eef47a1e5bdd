"""What TLS costs a request and a body besides the transport: what feeds it records beside Python's SSLObject alone.

The client's side is in the figures, and the same in both rows: take the difference.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from balance.proxy.tls.record_feed import RecordFeed

CERTIFICATES = Path(__file__).parents[2] / "deployments" / "examples" / "certificates"
MOST = 262144  # bytes that are read at once


def tls_reading() -> Iterator[tuple[str, Callable[[], object]]]:
    for kind in (ssl.SSLObject, RecordFeed):
        yield f"tls, a request of 400 bytes and its reply, {kind.__name__}", exchange(kind, b"x" * 400, 1)
        yield f"tls, 64 KB in four records and a reply, {kind.__name__}", exchange(kind, b"x" * 16384, 4)
        yield f"tls, 20 records of 1 KB and a reply, {kind.__name__}", exchange(kind, b"x" * 1024, 20)


def exchange(kind: type, data: bytes, records: int) -> Callable[[], object]:
    """One request of so many records, and a reply of 1200 bytes."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False
    theirs.verify_mode = ssl.CERT_NONE
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(CERTIFICATES / "example.crt", CERTIFICATES / "example.key")
    ours.num_tickets = 0
    received, incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    sent = ssl.MemoryBIO()
    client = theirs.wrap_bio(received, sent)
    fed = incoming if kind is ssl.SSLObject else ssl.MemoryBIO()
    made = ours.wrap_bio(fed, outgoing, server_side=True)
    feed = RecordFeed(made, incoming, fed, lambda: None) if kind is RecordFeed else None
    server = feed or made
    for _ in range(3):  # the flights of a handshake
        for side, out, to in ((client, sent, incoming), (server, outgoing, received)):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            to.write(out.read())
    read, write = server.read, made.write
    reply = b"y" * 1200

    def once() -> None:
        for _ in range(records):
            client.write(data)
        incoming.write(sent.read())
        try:
            while incoming.pending > 0 or (made.pending() > 0 if feed is None else feed.is_pending):
                read(MOST)
        except ssl.SSLWantReadError:
            pass
        write(reply)
        outgoing.read()

    return once
