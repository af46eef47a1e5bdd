"""What a peer sends arrives however it is cut, and records without data end the connection."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from crafted_tls import ALERT, DATA, HANDSHAKE, KEY_UPDATE, KEY_UPDATE_WANTED, NO_RENEGOTIATION, CraftedClient, hello
from hypothesis import given, settings
from hypothesis import strategies as st
from pem_files import self_signed

from balance.proxy.tls.record_feed import DATA_FOR_ONE, MAX_DATALESS, RecordFeed

TLS_12, TLS_13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
A = self_signed("a.example")
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(A.cert, A.key)
CONTEXT.options |= ssl.OP_NO_RENEGOTIATION


class Server:
    """The server's end, and a socket to it in the client's hands. It is read as a TlsTransport does."""

    def __init__(self, version: ssl.TLSVersion = TLS_13) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        fed = ssl.MemoryBIO()
        self.floods = 0
        self.made = CONTEXT.wrap_bio(fed, self.outgoing, server_side=True)
        self.tls = RecordFeed(self.made._sslobj, self.incoming, fed, self.count)
        self.is_open = False
        self.client: Any = None
        self.client = CraftedClient(self, version)  # type: ignore[arg-type]

    def count(self) -> None:
        self.floods += 1

    def sendall(self, data: bytes) -> None:
        self.incoming.write(data)
        if not self.is_open:
            self.is_open = self.tls.do_handshake()

    def recv(self, _: int) -> bytes:
        return self.outgoing.read()

    def read(self, received: bytes, size: int = 262144) -> bytes:
        """What the protocol gets."""
        self.incoming.write(received)
        got = b""
        while self.incoming.pending or self.tls.is_pending:
            try:
                got += self.tls.read(size)
            except ssl.SSLWantReadError:
                break
        return got


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([TLS_12, TLS_13]),
    st.lists(st.integers(1, 16384), min_size=1, max_size=60),
    st.lists(st.sampled_from([1, 4, 5, 6, 100, 4095, 4096, 4097, 16384, 16406, 70_000, 262_144]), min_size=1, max_size=40),
    st.sampled_from([100, 4096, 16384, 262_144]),
)
def test_records_arrive_however_they_are_cut(version: ssl.TLSVersion, sizes: list[int], cuts: list[int], size: int) -> None:
    known = Server(version)
    contents = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    stream = b"".join(known.client.seal(DATA, content) for content in contents)
    got = b""
    for cut in [*cuts, len(stream)]:
        got += known.read(stream[:cut], size)
        stream = stream[cut:]
    assert got == b"".join(contents)


@pytest.mark.parametrize("version", [TLS_12, TLS_13])
def test_every_byte_may_come_alone_and_a_reader_may_take_a_byte_at_a_time(version: ssl.TLSVersion) -> None:
    known = Server(version)
    stream = known.client.seal(DATA, b"hello") + known.client.seal(DATA, b" world")
    assert b"".join(known.read(bytes([byte])) for byte in stream) == b"hello world"
    stream = b"".join(known.client.seal(DATA, bytes([byte])) for byte in b"one record each" * 10)
    assert known.read(stream, size=1) == b"one record each" * 10


@pytest.mark.parametrize("kind_and_content", [(HANDSHAKE, KEY_UPDATE), (HANDSHAKE, KEY_UPDATE_WANTED)])
@pytest.mark.parametrize("in_one", [True, False])
def test_key_updates_without_end_end_the_connection(kind_and_content: tuple[int, bytes], in_one: bool) -> None:
    known = Server()
    records = [known.client.seal(*kind_and_content) for _ in range(3 * MAX_DATALESS)]
    with pytest.raises(ssl.SSLError, match="too many records without data"):
        for piece in [b"".join(records)] if in_one else records:
            known.read(piece)
    assert known.floods == 1
    assert known.outgoing.pending < 3 * MAX_DATALESS * 32  # what was answered is bounded, too


def test_a_few_key_updates_are_usual_and_data_makes_up_for_them() -> None:
    known = Server()
    for _ in range(3):
        stream = b"".join(known.client.seal(HANDSHAKE, KEY_UPDATE) for _ in range(MAX_DATALESS - 1))
        stream += b"".join(known.client.seal(DATA, b"x") for _ in range(MAX_DATALESS * DATA_FOR_ONE))
        assert known.read(stream) == b"x" * (MAX_DATALESS * DATA_FOR_ONE)
    assert not known.floods


def test_key_updates_between_data_end_the_connection_too() -> None:
    known = Server()
    stream = b"".join(known.client.seal(HANDSHAKE, KEY_UPDATE) + known.client.seal(DATA, b"x") for _ in range(100))
    with pytest.raises(ssl.SSLError, match="too many records without data"):
        known.read(stream)


@pytest.mark.parametrize(
    ("version", "kind", "content"),
    [
        pytest.param(TLS_12, DATA, b"", id="empty, 1.2"),
        pytest.param(TLS_13, DATA, b"", id="empty, 1.3"),
        pytest.param(TLS_12, ALERT, NO_RENEGOTIATION, id="warnings, 1.2"),
        pytest.param(TLS_13, ALERT, NO_RENEGOTIATION, id="warnings, 1.3"),
        pytest.param(TLS_12, HANDSHAKE, hello(TLS_12)[5:], id="renegotiation, 1.2"),
        pytest.param(TLS_13, HANDSHAKE, hello(TLS_13)[5:], id="a second ClientHello, 1.3"),
        pytest.param(TLS_12, DATA, bytes(16385), id="oversized, 1.2"),
        pytest.param(TLS_13, DATA, bytes(16385), id="oversized, 1.3"),
        pytest.param(TLS_13, 20, b"\1", id="change cipher spec, 1.3"),
        pytest.param(TLS_12, 99, b"x", id="of no known type, 1.2"),
    ],
)
def test_other_records_without_data_end_it_too(version: ssl.TLSVersion, kind: int, content: bytes) -> None:
    known = Server(version)
    with pytest.raises(ssl.SSLError):
        for _ in range(2 * MAX_DATALESS):
            known.read(known.client.seal(kind, content))


def test_nothing_is_pending_between_records_and_something_while_one_can_be_read() -> None:
    known = Server()
    stream = b"".join(known.client.seal(DATA, b"x" * 10) for _ in range(3))
    known.incoming.write(stream)
    assert not known.tls.is_pending  # the transport sees that `incoming` has something
    assert known.tls.read(262144) == b"x" * 10
    assert not known.incoming.pending
    assert known.tls.is_pending
    assert known.read(b"") == b"x" * 20
    assert not known.tls.is_pending
    part = known.client.seal(DATA, b"y" * 16384)
    assert known.read(part[:9000]) == b""
    assert not known.tls.is_pending  # else the transport would ask without end
    assert known.read(part[9000:], size=16383) == b"y" * 16384


@pytest.mark.parametrize("head", [b"\x17\x03\x03\xff\xff", b"\x17\x03\x03\x50\x00"])
def test_a_length_that_may_not_be_is_refused_before_the_rest_comes(head: bytes) -> None:
    known = Server()
    with pytest.raises(ssl.SSLError):
        known.read(head)
