"""The Huffman code of HPACK (RFC 7541 appendix B), decoded four bits at a time.

The code is canonical: the lengths of its words say all of it. A word has five bits at least, so four bits end one at most. The
table of steps has 4,096 entries and takes some milliseconds, once for each process that is forked.
"""

from __future__ import annotations

from typing import Final

from balance.http2.errors import COMPRESSION_ERROR, ConnectionFault

EOS: Final = 256
# The symbols whose words have so many bits, in the order of their words; EOS is the last one, of 30 bits.
_BY_BITS: Final = (
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b'!"()?'),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (22, b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9"),
    (
        23,
        b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef",
    ),
    (24, b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9",
    ),
    (30, b"\n\r\x16"),
)
_EOS_BITS: Final = 30


def code_words() -> list[tuple[int, int, int]]:
    """Each symbol, its word, and the word's bits, in the order of the words."""
    symbols = [(symbol, bits) for bits, symbols in _BY_BITS for symbol in symbols]
    found = []
    word = last = 0
    for symbol, bits in [*symbols, (EOS, _EOS_BITS)]:
        word <<= bits - last
        found.append((symbol, word, bits))
        word += 1
        last = bits
    return found


# A step is a node and four bits. A node is a place within words, of which there are 256; 0 is the begin of one.
_NOTHING: Final = 0
_SYMBOL: Final = 1
_EOS: Final = 2


def _steps() -> tuple[bytes, bytes, bytes, bytes]:
    """By step: the next node, what ends, which symbol. By node: whether a string may end, in seven bits of EOS at most."""
    children: list[list[int]] = [[-1, -1]]  # by node: a node, or -2 - symbol
    depth_of_ones = {0: 0}  # nodes that are reached by ones alone
    for symbol, word, bits in code_words():
        node = 0
        for bit in range(bits - 1, -1, -1):
            way = word >> bit & 1
            if bit == 0:
                children[node][way] = -2 - symbol
            elif children[node][way] == -1:
                children.append([-1, -1])
                children[node][way] = len(children) - 1
                if way and node in depth_of_ones:
                    depth_of_ones[len(children) - 1] = depth_of_ones[node] + 1
            if bit:
                node = children[node][way]
    nodes, ends, ended_symbols = bytearray(), bytearray(), bytearray()
    for start in range(len(children)):
        for four in range(16):
            node, end, symbol = start, _NOTHING, 0
            for bit in (8, 4, 2, 1):
                node = children[node][1 if four & bit else 0]
                if node < 0:
                    symbol = -2 - node
                    end = _EOS if symbol == EOS else _SYMBOL
                    node = 0
            nodes.append(node)
            ends.append(end)
            ended_symbols.append(symbol & 255)
    may_end = bytes(1 if depth_of_ones.get(node, 8) < 8 else 0 for node in range(len(children)))
    return bytes(nodes), bytes(ends), bytes(ended_symbols), may_end


_NODES, _ENDS, _SYMBOLS, _MAY_END = _steps()


def decode(data: bytes) -> bytes:
    """The string. ConnectionFault for one with EOS in it or with another padding (RFC 7541 section 5.2)."""
    nodes, ends, symbols = _NODES, _ENDS, _SYMBOLS
    out: list[int] = []
    step = 0  # a node, shifted by four bits
    for byte in data:
        step |= byte >> 4
        if ends[step]:
            if ends[step] == _EOS:
                raise ConnectionFault(COMPRESSION_ERROR, "a Huffman string has EOS in it")
            out.append(symbols[step])
        step = nodes[step] << 4 | byte & 15
        if ends[step]:
            if ends[step] == _EOS:
                raise ConnectionFault(COMPRESSION_ERROR, "a Huffman string has EOS in it")
            out.append(symbols[step])
        step = nodes[step] << 4
    if not _MAY_END[step >> 4]:
        raise ConnectionFault(COMPRESSION_ERROR, "a Huffman string ends within a symbol")
    return bytes(out)
