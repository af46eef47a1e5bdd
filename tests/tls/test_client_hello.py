"""The ClientHello is read whatever its bytes come in, and what is none is told from one without a name."""

from __future__ import annotations

import ssl

import pytest
from client_hellos import body, extension, hello, message, real_hello, records, sni, vector
from hypothesis import given
from hypothesis import strategies as st

from balance.tls.client_hello import MAX_MESSAGE, MAX_STREAM, ClientHello, ClientHelloParser, HelloState

INCOMPLETE, COMPLETE, NOT_TLS, MALFORMED = HelloState
REAL = real_hello()
PADDING = extension(21, bytes(200))
Said = tuple[str, tuple[bytes, ...], bool]
GREASE = extension(0x0A0A, b"") + extension(0xFAFA, b"\0")


def said(server_name: str, alpn: tuple[bytes, ...] = (), offers_tls13: bool = False) -> Said:
    return server_name, alpn, offers_tls13


def read(hello: ClientHello) -> Said:
    return hello.server_name, hello.alpn, hello.offers_tls13


def parsed(data: bytes) -> Said | HelloState:
    parser = ClientHelloParser()
    state = parser.feed(data)
    return state if parser.hello is None else read(parser.hello)


def fed(pieces: list[bytes]) -> Said | HelloState:
    parser = ClientHelloParser()
    for piece in pieces[:-1]:
        assert parser.feed(piece) is INCOMPLETE
    parser.feed(pieces[-1])
    return parser.state if parser.hello is None else read(parser.hello)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (REAL, said("www.example.com", (b"h2", b"http/1.1"), offers_tls13=True)),
        (real_hello(None, ()), said("", offers_tls13=True)),
        (real_hello("A.EXAMPLE.com", ()), said("a.example.com", offers_tls13=True)),
        (real_hello(maximum_version=ssl.TLSVersion.TLSv1_2), said("www.example.com", (b"h2", b"http/1.1"))),
        (hello(sni(b"a.example.com.")), said("a.example.com")),
        (hello(), said("")),  # TLS 1.2 without extensions
        (hello(b""), said("")),
        (hello(GREASE + sni(b"a.b") + PADDING), said("a.b")),
        (hello(extension(0xFE0D, bytes(300)) + sni(b"public.example")), said("public.example")),  # ECH: the outer name
        (hello(sni(b"*.example.com")), said("*.example.com")),
        (hello(extension(51, bytes(9000)) + sni(b"a.b")), said("a.b")),  # large key shares
        (REAL + b"\x14\x03\x03\x00\x01\x01", said("www.example.com", (b"h2", b"http/1.1"), True)),  # what follows stays
    ],
)
def test_a_hello_says_its_name_and_protocols(data: bytes, expected: Said) -> None:
    assert parsed(data) == expected


@pytest.mark.parametrize("cut", range(len(REAL)))
def test_a_hello_may_be_cut_at_every_byte(cut: int) -> None:
    assert fed([REAL[:cut], REAL[cut:]]) == said("www.example.com", (b"h2", b"http/1.1"), offers_tls13=True)


def test_a_hello_may_come_byte_by_byte_in_records_of_one_byte() -> None:
    data = hello(sni(b"a.b"), sizes=(1,) * 500)
    assert fed([data[at : at + 1] for at in range(len(data))]) == said("a.b")


@given(st.data(), st.lists(st.integers(1, 60), max_size=20))
def test_neither_records_nor_segments_change_what_is_read(data: st.DataObject, sizes: list[int]) -> None:
    sent = hello(GREASE + sni(b"some.example.com") + PADDING, tuple(sizes))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=30)))
    pieces = [sent[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert fed(pieces) == said("some.example.com")


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (b"", INCOMPLETE),
        (b"\x16", INCOMPLETE),
        (b"G", NOT_TLS),
        (b"GET / HTTP/1.1\r\n\r\n", NOT_TLS),
        (b"SSH-2.0-x\r\n", NOT_TLS),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", NOT_TLS),  # PostgreSQL's SSLRequest
        (b"\x16\x02\x00\x00\x01", NOT_TLS),
        (b"\x80\x2e\x01\x00\x02", MALFORMED),  # SSL 2
        (b"\x80\x2e", INCOMPLETE),
        (b"\x80\x2e\x07", NOT_TLS),
        (b"\x15\x03\x01\x00\x02\x01\x00", MALFORMED),  # an alert
        (b"\x17\x03\x03\x00\x01a", MALFORMED),  # data before a handshake
        (b"\x16\x03\x01\x00\x00", MALFORMED),  # an empty record
        (b"\x16\x03\x01\x40\x01", MALFORMED),  # a record above 2^14
        (records(message(body(sni(b"a.b")), kind=2)), MALFORMED),  # a ServerHello
        (b"\x16\x03\x01\x40\x00" + message(bytes(MAX_MESSAGE + 1))[:4], MALFORMED),  # known by its length alone
        (records(message(body(sni(b"a.b")))[:20], ()) + b"\x15\x03\x01\x00\x02\x02\x00", MALFORMED),  # another in between
        (records(message(body(sni(b"a.b"))) + b"\x01"), MALFORMED),  # something behind it in its record
        (hello(sni(b"")), MALFORMED),
        (hello(sni(b"a b")), MALFORMED),
        (hello(sni(b"a\0b")), MALFORMED),
        (hello(sni(b"a\r\nb")), MALFORMED),
        (hello(sni("ä".encode())), MALFORMED),
        (hello(sni(b"a" * 256)), MALFORMED),
        (hello(sni(b"a.b", kind=1)), MALFORMED),
        (hello(sni(b"a.b") + sni(b"c.d")), MALFORMED),  # which one would the other side take?
        (hello(extension(0, b"")), MALFORMED),
        (hello(extension(0, vector(2, b"\0" + vector(2, b"a.b")) + b"x")), MALFORMED),
        (hello(extension(0, vector(2, b"\0\xff\xff" + b"a.b"))), MALFORMED),
        (hello(extension(0, vector(2, b"\0" + vector(2, b"a.b") + b"\0" + vector(2, b"c.d")))), MALFORMED),
        (hello(extension(16, vector(2, b"\0"))), MALFORMED),
        (hello(extension(16, b"\0\0")), MALFORMED),
        *((hello(extension(kind, b"") * 2), MALFORMED) for kind in (5, 59, 60, 0x0A0A, 0xFF01)),  # one of each
        (hello(b"\0"), MALFORMED),
        (records(message(body(sni(b"a.b")) + b"x")), MALFORMED),
        (records(message(body(None, suites=b""))), MALFORMED),
        (records(message(body(None, suites=b"\x13"))), MALFORMED),
        (records(message(body(None, methods=b""))), MALFORMED),
        (records(message(body(None, session=bytes(33)))), MALFORMED),
        (records(message(b"\x03\x03")), MALFORMED),
    ],
)
def test_what_is_no_hello_is_told_from_one_without_a_name(data: bytes, state: HelloState) -> None:
    assert parsed(data) is state


def test_a_hello_that_never_ends_is_bounded() -> None:
    parser = ClientHelloParser()
    one = b"\x16\x03\x01\x00\x01"
    state = parser.feed(one + b"\x01" + one + b"\x00" + one + b"\x40" + one + b"\x00")
    while state is INCOMPLETE:
        state = parser.feed(one + b"\0")
    assert state is MALFORMED
    assert parser._total <= MAX_STREAM + 6


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255))
def test_one_record_is_read_as_its_bytes_are(at: int, byte: int) -> None:
    data = REAL[:at] + bytes([byte]) + REAL[at + 1 :]
    parser = ClientHelloParser()
    for one in data:
        parser.feed(bytes([one]))
    assert parsed(data) == (parser.state if parser.hello is None else read(parser.hello))


@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_get_an_answer(junk: bytes, at: int) -> None:
    parsed(junk)
    parsed(REAL[:at] + junk)
    parsed(records(message(junk)))
    parsed(hello(junk))
