"""What a peer of HTTP/2 may send, by dice: mostly what is allowed, some of it not, and a byte that is wrong now and then."""

from __future__ import annotations

import random

import hpack

from balance.http2 import frames
from balance.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    WINDOW_UPDATE,
    frame,
)

Fields = list[tuple[bytes, bytes]]
PSEUDO: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")]
OTHERS: Fields = [
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
    (b"cookie", b"a=1"),
    (b"cookie", b"b=2"),
    (b"te", b"trailers"),
    (b"priority", b"u=1, i"),
    (b"host", b"a.example"),
    (b"content-length", b"0"),
    (b"content-length", b"10"),
    (b"authorization", b"Bearer x"),
    (b"grpc-timeout", b"100m"),
    (b"x-long", b"y" * 300),
]
WRONG: Fields = [
    (b"te", b"gzip"),
    (b"connection", b"close"),
    (b"transfer-encoding", b"chunked"),
    (b"X", b"y"),
    (b"x", b" y"),
    (b"x", b"y\r\nz: 1"),
    (b"", b"y"),
    (b":path", b"/other"),
    (b":foo", b"bar"),
    (b":status", b"200"),
    (b"host", b"b.example"),
    (b":scheme", b"ftp"),
    (b"content-length", b"1x"),
    (b"x-huge", b"z" * 9000),
]
SETTINGS = [
    (frames.HEADER_TABLE_SIZE, 0),
    (frames.ENABLE_PUSH, 0),
    (frames.MAX_CONCURRENT_STREAMS, 2),
    (frames.INITIAL_WINDOW_SIZE, 0),
    (frames.INITIAL_WINDOW_SIZE, 1000),
    (frames.INITIAL_WINDOW_SIZE, 1 << 20),
    (frames.MAX_FRAME_SIZE, 1 << 20),
    (frames.ENABLE_CONNECT_PROTOCOL, 1),
    (0x99, 7),
]
WRONG_SETTINGS = [(frames.ENABLE_PUSH, 2), (frames.INITIAL_WINDOW_SIZE, 1 << 31), (frames.MAX_FRAME_SIZE, 1)]


class Peer:
    """One connection's."""

    def __init__(self, dice: random.Random, *, is_client: bool) -> None:
        self._dice = dice
        self._is_client = is_client
        self._encoder = hpack.Encoder()
        self._next_id = 1
        self._others: list[
            tuple[bytes, bytes, bool]
        ] = []  # the fields that the last head had, each with whether it is a secret
        self._open: list[int] = [] if is_client else [1, 3, 5, 7]
        self._wrong = dice.random() < 0.5  # whether anything may be wrong

    def all(self) -> bytes:
        dice = self._dice
        sent = (PREFACE if self._is_client else b"") + frames.settings(dice.sample(SETTINGS, dice.randrange(3)))
        for _ in range(dice.choice((1, 3, 10, 30))):
            sent += self._one()
            if dice.random() < 0.01:
                again = self._one()
                sent += again * dice.choice((20, 300)) if len(again) < 1000 else b""
        if self._wrong and dice.random() < 0.3:
            at = dice.randrange(len(sent))
            sent = sent[:at] + dice.choice((b"", b"\0", b"\xff", dice.randbytes(3))) + sent[at + dice.randrange(3) :]
        return sent

    def _one(self) -> bytes:
        dice = self._dice
        chance = dice.random()
        if not self._open and chance < 0.75:
            chance = 0.0  # a new one
        stream_id = dice.choice(self._open or [1])
        if self._wrong and dice.random() < 0.1:
            stream_id = dice.choice((0, 1, 2, self._next_id + 4))
        if chance < 0.35:
            return self._new() if self._is_client else self._head(stream_id, [(b":status", self._status())])
        if chance < 0.65:
            return self._data(stream_id)
        if chance < 0.75:
            return self._head(stream_id, [], ends=True)
        if chance < 0.8:
            more = dice.choice((1, 1000, 50_000, 0 if self._wrong else 7, 0x7FFFFFFF if self._wrong else 7))
            return frame(WINDOW_UPDATE, 0, dice.choice((0, stream_id)), more.to_bytes(4, "big"))
        if chance < 0.85:
            self._end(stream_id)
            return frame(RST_STREAM, 0, stream_id or 1, dice.randrange(14).to_bytes(4, "big"))
        if chance < 0.9:
            some = dice.sample(SETTINGS + (WRONG_SETTINGS if self._wrong else []), 2)
            return frames.settings(some) if dice.random() < 0.8 else frames.SETTINGS_ACK
        if chance < 0.93:
            return frame(PING, dice.choice((0, 1)), 0, dice.choice((b"12345678", b"balance!")))
        if chance < 0.96:
            return frame(GOAWAY, 0, 0, dice.choice((0, 3, 99)).to_bytes(4, "big") + b"\0\0\0\0bye\xff")
        if chance < 0.98 or not self._wrong:
            return frame(PRIORITY, 0, stream_id or 1, b"\0\0\0\x01\x10") + frame(dice.choice((0x0A, 0x10, 0xFF)), 0, 0, b"??")
        kind = dice.choice((GOAWAY, GOAWAY, CONTINUATION, PUSH_PROMISE, DATA, HEADERS, PING))
        return frame(kind, dice.randrange(256), dice.choice((0, stream_id)), dice.randbytes(dice.choice((0, 4, 8, 20))))

    def _end(self, stream_id: int) -> None:
        """No more of this one, as a rule."""
        if stream_id in self._open and not (self._wrong and self._dice.random() < 0.1):
            self._open.remove(stream_id)

    def _status(self) -> bytes:
        return self._dice.choice((b"200", b"200", b"204", b"100", b"103", b"304", b"502", b"99" if self._wrong else b"404"))

    def _new(self) -> bytes:
        dice = self._dice
        stream_id = self._next_id
        self._next_id += 2
        self._open.append(stream_id)
        pseudo = list(PSEUDO)
        pseudo[0] = (b":method", dice.choice((b"GET", b"GET", b"POST", b"OPTIONS", b"CONNECT" if self._wrong else b"PUT")))
        pseudo[2] = (b":path", dice.choice((b"/", b"/a?b=c", b"/%d" % stream_id, b"*" if self._wrong else b"/x")))
        if dice.random() < 0.1:
            pseudo[0] = (b":method", b"CONNECT")
            pseudo.append((b":protocol", b"websocket"))
        return self._head(stream_id, pseudo)

    def _head(self, stream_id: int, fields: Fields, *, ends: bool = False) -> bytes:
        dice = self._dice
        if dice.random() < 0.5:
            self._others = [
                (name, value, dice.random() < 0.2) for name, value in dice.sample(OTHERS, dice.choice((0, 2, 2, 5)))
            ]
        fields = [(name, value, False) for name, value in fields] + self._others
        if self._wrong and dice.random() < 0.1:
            fields.insert(dice.randrange(len(fields) + 1), (*dice.choice(WRONG), False))
        if dice.random() < 0.03:
            self._encoder.header_table_size = dice.choice((0, 100, 4096))
        block = self._encoder.encode(fields, huffman=dice.random() < 0.7)
        flags = END_STREAM if ends or dice.random() < 0.2 else 0
        if flags:
            self._end(stream_id)
        if dice.random() < 0.1:
            flags |= HAS_PRIORITY
            block = b"\0\0\0\x01\x10" + block
        if dice.random() < 0.1:
            flags |= PADDED
            block = b"\x05" + block + b"\0" * 5
        if dice.random() < 0.9:
            return frame(HEADERS, flags | END_HEADERS, stream_id, block)
        if dice.random() < 0.2:
            size = max(1, len(block) // dice.choice((3, 12)))
            pieces = [block[start : start + size] for start in range(0, max(1, len(block)), size)]
            sent = frame(HEADERS, flags, stream_id, pieces[0])
            for number, piece in enumerate(pieces[1:], 2):
                sent += frame(CONTINUATION, END_HEADERS if number == len(pieces) else 0, stream_id, piece)
            return sent
        cut = dice.randrange(len(block) // 2, len(block) + 1)
        return frame(HEADERS, flags, stream_id, block[:cut]) + frame(CONTINUATION, END_HEADERS, stream_id, block[cut:])

    def _data(self, stream_id: int) -> bytes:
        dice = self._dice
        if dice.random() < 0.03:
            return frame(DATA, 0, stream_id, b"c" * 16_000) * dice.choice((3, 6, 80))
        content = b"c" * dice.choice((0, 1, 10, 10, 500, 16_000))
        flags = END_STREAM if dice.random() < 0.4 else 0
        if flags:
            self._end(stream_id)
        if dice.random() < 0.15:
            return frame(DATA, flags | PADDED, stream_id, b"\x03" + content + b"\0" * 3)
        return frame(DATA, flags, stream_id, content)
