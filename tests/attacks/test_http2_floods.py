"""Floods of HTTP/2: cheap for who sends them, dear for who reads them. Each ends its connection, and is named in the log."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacked import Site
from h2_attacked import FLOODS, GOOD, GoodH2Client, Peer, endless, get, post
from h2_cases import DATA, END_HEADERS, END_STREAM, HEADERS, Fields, frame, head
from instance_process import until

from balance.http2 import errors, frames
from balance.http2.frames import PING, PREFACE, settings, window_update
from balance.http2.hpack.field_encoder import encode

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

AT_ONCE = 3  # connections of a flood
SLOW = 3 * 15  # streams of three connections that may hold a read of their backends, 256 KB; of the others some may be refused
MOST_MEMORY = 32 << 20  # bytes that all processes may hold more while floods go on
KEYS = {"http": {"h2c": True}, "timeouts": {"client_header": "2s", "write": "2s", "keepalive": "3s"}}


def large(stream: int) -> bytes:
    """A request for 10 MB."""
    fields: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/bytes?n=10000000"), (b":authority", b"a")]
    return head(stream, fields)


def test_a_flood_ends_its_connections_and_is_named(tmp_path: Path) -> None:
    with Site(tmp_path, **KEYS) as site, GoodH2Client(site) as good:

        def attack() -> None:
            before = site.held().memory
            for name, (reason, pieces) in FLOODS.items():
                for _ in range(AT_ONCE):
                    with Peer(site) as peer:
                        peer.flood(pieces())
                        peer.wait("over")
                        assert peer.goaways, f"{name}: an end without a reason"
                        assert peer.goaways[-1][1] == errors.ENHANCE_YOUR_CALM, f"{name}: {peer.goaways[-1]}"
                        assert reason in peer.reason, (name, peer.reason)
                good.answers(1)
                assert site.held().memory < before + MOST_MEMORY, name

        site.withstands(attack)
        for reason, _ in FLOODS.values():
            assert reason in site.log, site.log  # the first of each kind; others within a minute are counted
        assert site.ended("http2_flood") == 2 * AT_ONCE * len(FLOODS)


def test_small_content_that_waits_ends_its_connection(tmp_path: Path) -> None:
    """Each frame costs a hundred bytes of memory besides its own, while its backend takes none of it."""
    routes = [{"name": "silent", "path_prefix": "/silent", "pool": "silent"}, {"name": "rest", "pool": "app"}]
    first = encode([*GOOD[:2], (b":path", b"/silent"), GOOD[3]])
    others = encode([(b":method", b"POST"), GOOD[1], (b":path", b"/silent"), GOOD[3]])

    def pieces() -> Iterator[bytes]:
        yield get(1, first)  # all others wait for its end
        for stream in range(3, 23, 2):
            yield frame(HEADERS, END_HEADERS, stream, others)
            yield from [frame(DATA, 0, stream, bytes(20)) * 100] * 30

    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = {"address": f"127.0.0.1:{silent.getsockname()[1]}", "max_connections": 1}
        pool = {"backends": [backend], "queue": {"size": 100, "timeout": "60s"}}
        keys = {**KEYS, "http": {"h2c": True, "routes": routes}, "pools": {"silent": pool}}
        with Site(tmp_path, **keys) as site, GoodH2Client(site) as good:

            def attack() -> None:
                for _ in range(AT_ONCE):
                    with Peer(site) as peer:
                        peer.flood(pieces())
                        peer.wait("over")
                        assert [code for _, code, _ in peer.goaways][-1:] == [errors.ENHANCE_YOUR_CALM], str(peer)
                        assert "small DATA that waits" in peer.reason
                good.answers(1)

            site.withstands(attack)


UNREAD = {
    "PING": endless(frame(PING, 0, 0, bytes(8))),
    "SETTINGS": endless(settings([])),
}


@pytest.mark.parametrize("name", UNREAD)
def test_answers_that_nobody_reads_are_few(tmp_path: Path, name: str) -> None:
    """CVE-2019-9512 and 9515: what waits for a client that does not read is bounded."""
    with Site(tmp_path, **KEYS) as site, GoodH2Client(site) as good:
        before = site.held().memory
        with Peer(site) as peer:
            with contextlib.suppress(ConnectionResetError):
                peer.flood(UNREAD[name], reads=False)
            good.answers(3)
            assert site.held().memory < before + MOST_MEMORY
            peer.sock.settimeout(20)
            peer.wait("over")


def test_replies_that_are_not_taken_hold_little_and_not_for_long(tmp_path: Path) -> None:
    """CVE-2019-9511 and 9517: a window of 0, or one that is opened by a byte, or a client that stops to read."""
    with Site(tmp_path, **KEYS) as site, GoodH2Client(site) as good:

        def attack() -> None:
            before, ended = site.held().memory, site.ended("client_too_slow")
            with contextlib.ExitStack() as stack:
                shut = stack.enter_context(Peer(site, (frames.INITIAL_WINDOW_SIZE, 0)))
                trickling = stack.enter_context(Peer(site, (frames.INITIAL_WINDOW_SIZE, 0)))
                deaf = stack.enter_context(Peer(site, (frames.INITIAL_WINDOW_SIZE, frames.LARGEST_WINDOW)))
                deaf.send(window_update(0, 1 << 30))
                for peer in (shut, trickling, deaf):
                    peer.send(b"".join(large(2 * number + 1) for number in range(50)))
                deadline = time.monotonic() + 20
                while site.ended("client_too_slow") < ended + SLOW and time.monotonic() < deadline:
                    with contextlib.suppress(OSError):
                        trickling.send(b"".join(window_update(2 * number + 1, 1) for number in range(50)))
                    good.answers(5)
                    assert site.held().memory < before + MOST_MEMORY
                assert site.ended("client_too_slow") >= ended + SLOW, site.log

        # Once: the allocator keeps 5 to 20 MB of what such an attack took, by turns, and no more after seven of them.
        site.withstands(attack, times=1)


TRICKLES = {
    "the preface": PREFACE,
    "frames that do not end": PREFACE + settings([]) + frame(0x1, END_STREAM, 1, b"x" * 1000),
    "a head that goes on": PREFACE + settings([]) + frame(0x1, END_STREAM, 1, b"\x82" * 5) + frame(0x9, 0, 1, b"\x84" * 1000),
    "nothing behind the preface": PREFACE,
}


@pytest.mark.parametrize("name", TRICKLES)
def test_what_comes_byte_by_byte_has_one_deadline(tmp_path: Path, name: str) -> None:
    """CVE-2026-56853: each byte of the preface gave it new time."""
    with Site(tmp_path, **KEYS) as site, GoodH2Client(site) as good:
        with site.connect() as sock:
            sock.settimeout(0.05)
            at_once = 0 if name == "the preface" else len(PREFACE)
            sock.sendall(TRICKLES[name][:at_once])
            for byte in TRICKLES[name][at_once:] + bytes(1000):  # for a minute
                try:
                    sock.sendall(bytes((byte,)) if len(TRICKLES[name]) > at_once else b"")
                    if not sock.recv(65_536):
                        break
                except TimeoutError:
                    continue
                except (ConnectionResetError, BrokenPipeError):
                    break
            else:
                raise AssertionError(site.log)
        good.answers(3)


def test_a_hog_of_the_loop_lets_others_have_their_turns(tmp_path: Path) -> None:
    """64 KB of cheap frames in each read, on eight connections, for as long as they are allowed to."""
    piece = b"".join(frame(kind, 0, 1, bytes(5)) for kind in (0x2, 0x2, 0x2)) * 100
    with Site(tmp_path, **KEYS) as site, GoodH2Client(site) as good:

        def attack() -> None:
            with contextlib.ExitStack() as stack:
                peers = [stack.enter_context(Peer(site)) for _ in range(8)]
                for peer in peers:
                    peer.send(post(1))
                for _ in range(5):
                    for peer in peers:
                        with contextlib.suppress(OSError):
                            peer.send(piece + frame(DATA, 0, 1, b"x") * 1000)
                    good.answers(2)

        site.withstands(attack)


def test_what_comes_behind_the_end_is_not_looked_at(tmp_path: Path) -> None:
    """CVE-2026-27135, CVE-2026-33814: a frame size of 0, and frames behind the GOAWAY that it has caused."""
    with Site(tmp_path, **KEYS) as site, GoodH2Client(site) as good:
        served = site.ended("ok")
        with Peer(site, (frames.MAX_FRAME_SIZE, 0)) as peer:
            with contextlib.suppress(OSError):
                peer.send(get(1) * 1000)
            peer.wait("over")
            assert [code for _, code, _ in peer.goaways] == [errors.PROTOCOL_ERROR]
            assert peer.heads == {}
        good.answers(3)
        until(lambda: site.ended("ok") > served, "the good client's are counted")
        assert "Traceback" not in site.log
