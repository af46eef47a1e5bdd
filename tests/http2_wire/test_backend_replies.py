"""Replies of an HTTP/2 backend that are wrong: no client gets one that is not its own, and none that could be two."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from h2_cases import DATA, END_HEADERS, HEADERS, WHOLE, frame, head, number
from scripted_h2_server import ScriptedH2Server, answer, data_frame
from smuggling_rows import fields
from socket_talk import SocketTalk
from test_downgrade_smuggling import Site

from balance.http2 import errors
from balance.http2.frames import PUSH_PROMISE, rst_stream
from balance.http2.hpack.field_encoder import encode

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Fields = list[tuple[bytes, bytes]]
OK: Fields = [(b":status", b"200")]
HIDDEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


def reply(*more: tuple[bytes, bytes], content: bytes | None = b"content", ok: Fields = OK) -> Callable[[int], bytes]:
    """A head, and content that ends it; None: the head is the end."""

    def frames_of(stream: int) -> bytes:
        first = frame(HEADERS, WHOLE if content is None else END_HEADERS, stream, encode([*ok, *more]))
        return first if content is None else first + data_frame(stream, content, ends=True)

    return frames_of


def with_trailers(*trailers: tuple[bytes, bytes], flags: int = WHOLE) -> Callable[[int], bytes]:
    return lambda n: (
        frame(HEADERS, END_HEADERS, n, encode(OK))
        + data_frame(n, b"x", ends=False)
        + frame(HEADERS, flags, n, encode([*trailers]))
    )


LENGTH = b"content-length"
# Nothing of it has gone to the client when it is seen to be wrong: 502.
REFUSED = {
    "no :status": reply(ok=[(b"x", b"y")]),
    ":status that is no number": reply(ok=[(b":status", b"200 OK")]),
    ":status of two digits": reply(ok=[(b":status", b"20")]),
    ":status twice": reply((b":status", b"200")),
    ":status behind a field": reply(ok=[(b"x", b"y"), (b":status", b"200")]),
    ":path in a reply": reply((b":path", b"/")),
    "101": reply(ok=[(b":status", b"101")]),
    "an interim reply that ends": reply(ok=[(b":status", b"103")], content=None),
    "more than 100 interim replies": lambda n: (
        frame(HEADERS, END_HEADERS, n, encode([(b":status", b"103")])) * 101 + answer(n, b"content")
    ),
    "transfer-encoding": reply((b"transfer-encoding", b"chunked"), content=b"0\r\n\r\n" + HIDDEN),
    "connection": reply((b"connection", b"x")),
    "upgrade": reply((b"upgrade", b"websocket")),
    "a line's end in a value": reply((b"x", b"y\r\ncontent-length: 0\r\n\r\n" + HIDDEN)),
    "a line in a name": reply((b"x: y\r\nz", b"y")),
    "a name in upper case": reply((b"Content-Length", b"0")),
    "content-length that is no number": reply((LENGTH, b"+7")),
    "content-length twice": reply((LENGTH, b"7"), (LENGTH, b"0")),
    "a content-length, and no content": reply((LENGTH, b"60"), content=None),
    "content before the head": lambda n: data_frame(n, HIDDEN, ends=False) + answer(n, b"x"),
    "a reset": lambda n: rst_stream(n, 2),
    "a promise": lambda n: frame(PUSH_PROMISE, END_HEADERS, n, number(2) + encode([(b":method", b"GET")])) + answer(2, HIDDEN),
    "a reply of a stream that was never opened": lambda n: answer(n + 100, HIDDEN),
    "no HTTP/2": lambda n: HIDDEN,
}
# The head may have gone: the stream is reset, and nothing behind what was promised arrives.
BROKEN = {
    "more content than content-length": reply((LENGTH, b"3"), content=b"abc" + HIDDEN),
    "less content than content-length": reply((LENGTH, b"60"), content=b"abc"),
    "less content, ended by trailers": lambda n: (
        frame(HEADERS, END_HEADERS, n, encode([*OK, (LENGTH, b"60")]))
        + data_frame(n, b"x", ends=False)
        + frame(HEADERS, WHOLE, n, encode([(b"x", b"y")]))
    ),
    "a second head": with_trailers((b":status", b"200"), flags=END_HEADERS),
    "trailers that do not end": with_trailers((b"x", b"y"), flags=END_HEADERS),
    "trailers with :status": with_trailers((b":status", b"200")),
    "trailers with a line's end": with_trailers((b"x", b"y\r\n\r\n" + HIDDEN)),
    "a reset in the middle": lambda n: (
        frame(HEADERS, END_HEADERS, n, encode(OK)) + data_frame(n, b"x", ends=False) + rst_stream(n, 2)
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ScriptedH2Server() as server:
        made = Site(tmp_path_factory.mktemp("replies"), server, protocol="h2c")  # type: ignore[arg-type]
        yield made
        made.close()


def asked(site: Site, script: Callable[[int], bytes]) -> SocketTalk:
    """The client of the wrong reply, and beside it others who get what is theirs, before and after."""
    site.server.scripts = {b"/attack": script}  # type: ignore[attr-defined]
    talk = SocketTalk(site.port)
    talk.begin()
    for place in range(3):
        talk.send(head(2 * place + 1, fields(path=b"/beside/%d" % place)))
        talk.wait("end", 2 * place + 1)
        assert talk.body(2 * place + 1) == b"/beside/%d" % place
    talk.send(head(11, fields(path=b"/attack")))
    talk.wait("end", 11)
    talk.send(head(13, fields(path=b"/beside/after")))
    talk.wait("end", 13)
    assert talk.body(13) == b"/beside/after", str(talk)
    talk.sock.close()
    assert b"stolen" not in b"".join(payload for kind, _, _, payload in talk.frames if kind == DATA)
    return talk


@pytest.mark.parametrize("name", REFUSED)
def test_a_head_that_is_wrong_is_a_502(site: Site, name: str) -> None:
    talk = asked(site, REFUSED[name])
    assert talk.status(11) == 502, str(talk)


@pytest.mark.parametrize("name", BROKEN)
def test_a_reply_that_breaks_off_is_known_as_such(site: Site, name: str) -> None:
    """And the code of the one connection is not that of the other."""
    talk = asked(site, BROKEN[name])
    assert talk.status(11) == 502 or talk.resets.get(11) == errors.INTERNAL_ERROR, str(talk)


def test_content_behind_a_reply_without_any_is_nobodys(site: Site) -> None:
    """Its length has said that it is whole."""
    talk = asked(site, reply((LENGTH, b"0"), content=HIDDEN))
    assert (talk.status(11), talk.body(11)) in ((200, b""), (502, talk.body(11)))
