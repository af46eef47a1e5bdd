"""Blocks of fields against the hpack library, in both directions, and the examples of RFC 7541."""

from __future__ import annotations

from random import Random

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st

from balance.http2.errors import ConnectionFault
from balance.http2.hpack.field_decoder import FieldDecoder
from balance.http2.hpack.field_encoder import encode
from balance.http2.hpack.huffman import code_words, decode
from balance.http2.hpack.static_table import STATIC_TABLE

NAMES = (b":path", b":method", b"accept", b"cookie", b"content-type", b"x-trace", b"x-" + b"long" * 20)
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=300)), max_size=10)
# Appendix C.4: requests with Huffman strings, and C.6: replies that evict from a table of 256 bytes.
REQUESTS = [
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", 4),
    ("828684be5886a8eb10649cbf", 5),
    ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", 5),
]


def read(decoder: FieldDecoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(field.name, field.value) for field in decoder.decode(block)]


def test_the_words_and_the_table_are_those_of_the_rfc() -> None:
    found = sorted(code_words())
    assert [word for _, word, _ in found] == list(REQUEST_CODES)
    assert [bits for _, _, bits in found] == list(REQUEST_CODES_LENGTH)
    assert list(STATIC_TABLE) == [tuple(map(bytes, entry)) for entry in hpack.table.HeaderTable.STATIC_TABLE]


@given(st.binary(max_size=60))
def test_huffman_strings_are_read_as_hpack_reads_them(data: bytes) -> None:
    assert decode(HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(data)) == data
    try:
        theirs = decode_huffman(data)
    except hpack.HPACKDecodingError:
        theirs = None
    try:
        ours = decode(data)
    except ConnectionFault:
        ours = None
    assert ours == theirs


def test_the_examples_of_the_rfc() -> None:
    decoder = FieldDecoder(100, 65_536)
    found = [read(decoder, bytes.fromhex(block)) for block, _ in REQUESTS]
    assert [len(fields) for fields in found] == [count for _, count in REQUESTS]
    assert found[2][-1] == (b"custom-key", b"custom-value")
    assert found[1][-1] == (b"cache-control", b"no-cache")


@given(st.integers(0, 1 << 30), st.lists(FIELDS, max_size=12))
def test_what_hpack_writes_is_read(seed: int, blocks: list[list[tuple[bytes, bytes]]]) -> None:
    random = Random(seed)
    encoder = hpack.Encoder()
    decoder = FieldDecoder(1000, 1 << 20)
    for fields in blocks:
        if random.random() < 0.3:
            encoder.header_table_size = random.choice([0, 60, 500, 4096])
        assert read(decoder, encoder.encode(fields, huffman=random.random() < 0.5)) == fields


@given(FIELDS)
def test_what_we_write_is_read_by_hpack(fields: list[tuple[bytes, bytes]]) -> None:
    block = encode(fields)
    assert [(bytes(name), bytes(value)) for name, value in hpack.Decoder().decode(block, raw=True)] == fields
    assert read(FieldDecoder(1000, 1 << 20), block) == fields


def test_a_secret_is_kept_in_no_table_on_the_way() -> None:
    (header,) = hpack.Decoder().decode(encode([(b"authorization", b"Bearer x")]), raw=True)
    assert isinstance(header, hpack.NeverIndexedHeaderTuple)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_hpack_reads_them(block: bytes) -> None:
    theirs: object
    ours: object
    try:
        peer = hpack.Decoder()
        peer.max_allowed_table_size = 4096
        theirs = [(bytes(name), bytes(value)) for name, value in peer.decode(block, raw=True)]
    except (hpack.HPACKError, UnicodeDecodeError):
        theirs = None
    try:
        ours = read(FieldDecoder(1000, 1 << 20), block)
    except ConnectionFault as fault:
        if "changed within" in fault.detail:  # hpack takes any number of changes of the table's size
            return
        ours = None
    assert ours == theirs


@pytest.mark.parametrize("block", [b"\x7f" + b"\xff" * 6 + b"\x01", b"\x00\x7f" + b"\x80" * 20, b"\xff", b"\x40", b"\x00\x01"])
def test_an_integer_without_an_end_and_a_block_that_is_cut_are_faults(block: bytes) -> None:
    with pytest.raises(ConnectionFault):
        FieldDecoder(100, 65_536).decode(block)


def test_the_table_is_bounded_whatever_comes() -> None:
    decoder = FieldDecoder(100, 1 << 20)
    for number in range(2000):
        decoder.decode(b"\x40\x03%03d\x7f\x81\x06" % (number % 1000) + b"v" * 896)
        assert sum(len(entry.name) + len(entry.value) + 32 for entry in decoder._entries) <= 4096
