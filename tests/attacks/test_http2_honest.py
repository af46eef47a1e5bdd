"""What honest clients of HTTP/2 do, and what was taken for an attack elsewhere: nothing ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from attacked import Site
from h2_attacked import GET, POST, Peer, get
from h2_cases import DATA, END_HEADERS, Fields, data, frame, head

from balance.http2 import errors, frames
from balance.http2.frames import HEADERS, PING, rst_stream
from balance.http2.hpack.field_encoder import encode

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

KEYS = {"http": {"h2c": True}}
SLOW: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/slow?ms=30000"), (b":authority", b"a")]


def test_pages_that_are_left_and_pings_and_cookies_pass(tmp_path: Path) -> None:
    with Site(tmp_path, **KEYS) as site, Peer(site) as peer:
        stream = -1

        def next_stream() -> int:
            nonlocal stream
            stream += 2
            return stream

        for _ in range(2):  # a page of sixty streaming calls, which is left (grpc/grpc-node#2872)
            page = [next_stream() for _ in range(60)]
            peer.send(b"".join(head(each, SLOW) for each in page))
            for _ in range(3):  # gRPC's keepalive, each second
                time.sleep(0.5)
                peer.send(frame(PING, 0, 0, b"keepaliv"))
            peer.send(b"".join(rst_stream(each, errors.CANCEL) for each in page))
            last = next_stream()
            peer.send(get(last))
            peer.wait("end", last)
            assert peer.status(last) == 200, str(peer)
        last = next_stream()
        cookies = encode([(b"cookie", b"name%d=value" % number) for number in range(90)])  # icing/mod_h2#201
        peer.send(get(last, GET + cookies))
        peer.wait("end", last)
        assert peer.status(last) == 200, str(peer)
        last = next_stream()
        peer.send(frame(HEADERS, END_HEADERS, last, POST))  # a gRPC stream of tiny messages
        for _ in range(100):
            peer.send(frame(DATA, 0, last, b"x") * 100)
        peer.send(data(last, b"x"))
        peer.wait("end", last)
        assert b'"body_size": 10001' in peer.body(last), peer.body(last)[:300]
        for number in range(600):  # and a page of many parts, asked for over a connection that lives long
            last = next_stream()
            peer.send(get(last))
            if number % 30 == 29:
                peer.wait("end", last)
        peer.wait("end", last)
        assert peer.goaways == [], peer.reason
        assert not peer.resets
        assert (PING, frames.ACK, 0, b"keepaliv") in peer.frames
        assert "many" not in site.log, site.log
