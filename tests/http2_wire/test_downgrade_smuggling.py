"""No backend sees a request that no client has sent, no client a reply that is not its own: over a whole instance, with
attackers and victims beside each other, and backend connections that are kept.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from h2_cases import END_HEADERS, data, head
from instance_process import Instance, until
from recording_h2_server import RecordingH2Server
from recording_server import RecordingServer, Seen
from smuggling_rows import HIDDEN, ROWS, fields
from socket_talk import SocketTalk

from balance.http2.frames import rst_stream

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

NUMBERS = itertools.count(1)
ATTACKS = itertools.count(100)  # three digits: an attack is as long as the row has it


class Site:
    """An instance before one recording backend, and a victim over each protocol."""

    def __init__(self, folder: Path, server: RecordingServer | RecordingH2Server, **keys: object) -> None:
        self.server = server
        backend = {"name": "b", "address": server.address, **keys}
        document = {
            "mode": "http",
            "listen": "127.0.0.1:0",
            "workers": 1,
            "http": {"h2c": True},
            "backends": [backend],
            "admin": {"listen": "127.0.0.1:0"},
            "shutdown": {"delay": "0s"},
        }
        self.instance = Instance(folder, json.dumps(document)).ready()
        self.port = self.instance.port
        self.victim = SocketTalk(self.port)
        self.victim.begin()
        self._stream = -1
        self.attack = b""

    def begin(self) -> None:
        """Forget what was seen. A new target for the attack: what the one before was cut off may reach its backend only now."""
        self.attack = b"/hit%d" % next(ATTACKS)
        self.server.requests.clear()

    def seen(self) -> list[Seen]:
        """What has reached the backend since, without earlier attacks."""
        return [each for each in self.server.requests if each.target == self.attack or not each.target.startswith(b"/hit")]

    def close(self) -> None:
        self.victim.sock.close()
        self.instance.destroy()

    def ask_as_victim(self) -> list[tuple[bytes, bytes]]:
        """One request over HTTP/2 and one over HTTP/1.1: each gets its own reply. What a backend may have seen of them."""
        number = next(NUMBERS)
        self._stream += 2
        target = b"/victim/%d" % number
        self.victim.send(head(self._stream, fields(path=target)))
        self.victim.wait("end", self._stream)
        assert self.victim.status(self._stream) == 200, str(self.victim)
        assert self.victim.body(self._stream) == b"GET " + target
        with socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            sock.sendall(b"GET %b/1.1 HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n" % target)
            reply = b""
            while more := sock.recv(65_536):
                reply += more
        assert reply.startswith(b"HTTP/1.1 200 "), reply
        assert reply.partition(b"\r\n\r\n")[2] == b"GET %b/1.1" % target
        return [(b"GET", target), (b"GET", target + b"/1.1")]


SERVERS = {"http1": RecordingServer, "h2c": RecordingH2Server}


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with SERVERS[request.param]() as server:
        keys = {} if request.param == "http1" else {"protocol": request.param}
        made = Site(tmp_path_factory.mktemp("smuggling"), server, **keys)
        yield made
        made.close()


@pytest.mark.parametrize("name", ROWS)
def test_a_request_that_is_two_is_none(site: Site, name: str) -> None:
    row = ROWS[name]
    site.begin()
    expected = site.ask_as_victim()
    with SocketTalk(site.port) as attacker:
        attacker.begin()
        attacker.send(row.attack.replace(b"/attack", site.attack))
        attacker.wait("end", 1)
        expected += site.ask_as_victim()
        assert attacker.status(1) == row.status, str(attacker)
        target = b"/attacker/%d" % next(NUMBERS)
        attacker.send(head(9, fields(path=target)))
        attacker.wait("end", 9)
        assert attacker.body(9) == b"GET " + target
        expected.append((b"GET", target))
    expected += site.ask_as_victim()
    seen = [(each.method, each.target) for each in site.seen()]
    if row.may_reach:
        attacks = [each for each in site.seen() if each.target == site.attack]
        assert len(attacks) <= 1
        assert all(each.method == b"POST" and HIDDEN not in each.content for each in attacks)
        # It may be whole where all that its length allows came before what is too much.
        assert all(each.content == b"abcd" for each in attacks if each.is_whole and each.content), attacks
        seen = [each for each in seen if each[1] != site.attack]
    assert seen == expected
    assert site.server.garbage == []


def test_an_empty_end_is_no_second_one(site: Site) -> None:
    """A chunked request of HTTP/1.1 ends once: Pingora #935 wrote its end for the last DATA, and for an empty one behind it."""
    site.begin()
    with SocketTalk(site.port) as client:
        client.begin()
        for stream, pieces in ((1, [b"abc", b""]), (3, [b"", b"abc"]), (5, [b"abc"]), (7, [b"", b""])):
            client.send(head(stream, fields(b"POST", path=b"/post/%d" % stream), END_HEADERS))
            for piece in pieces[:-1]:
                client.send(data(stream, piece, 0))
            client.send(data(stream, pieces[-1]))
            client.wait("end", stream)
            assert client.body(stream) == b"POST /post/%d" % stream
    site.ask_as_victim()
    assert [(each.target, each.content) for each in site.seen()[:4]] == [
        (b"/post/1", b"abc"),
        (b"/post/3", b"abc"),
        (b"/post/5", b"abc"),
        (b"/post/7", b""),
    ]
    assert site.server.garbage == []


def test_content_of_a_cancelled_request_is_nobody_elses(site: Site) -> None:
    """A backend's connection that waits for content is not kept for the next request."""
    site.begin()
    for how in ((b"content-length", b"60"), (b"x", b"chunked")):
        with SocketTalk(site.port) as attacker:
            attacker.begin()
            attacker.send(head(1, fields(b"POST", how, path=site.attack), END_HEADERS) + data(1, b"part", 0))
            until(lambda: (seen := site.seen()) and seen[-1].target == site.attack, "the attack at its backend")
            attacker.send(rst_stream(1, 8))
            expected = site.ask_as_victim()
        assert [(each.method, each.target) for each in site.seen()[-2:]] == expected
    assert not [each for each in site.seen() if each.target == site.attack and each.is_whole]
    assert site.server.garbage == []


@pytest.fixture(scope="module")
def http1_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with RecordingServer() as server:
        made = Site(tmp_path_factory.mktemp("replies"), server)
        yield made
        made.close()


def test_a_reply_before_the_content_frees_no_connection(http1_site: Site) -> None:
    """The backend has answered, and waits for the rest: what comes next on that connection would be the rest."""
    for how in ((b"content-length", b"60"), (b"x", b"chunked")):
        with SocketTalk(http1_site.port) as attacker:
            attacker.begin()
            attacker.send(head(1, fields(b"POST", how, path=b"/early/1"), END_HEADERS) + data(1, b"part", 0))
            attacker.wait("end", 1)
            assert attacker.status(1) == 200
            http1_site.ask_as_victim()
        http1_site.ask_as_victim()
    assert http1_site.server.garbage == []
    assert not [each for each in http1_site.server.requests if b"GET" in each.content]


def test_a_second_reply_of_a_backend_is_nobodys(http1_site: Site) -> None:
    with SocketTalk(http1_site.port) as client:
        client.begin()
        client.send(head(1, fields(path=b"/two/1")))
        client.wait("end", 1)
        assert client.body(1) == b"GET /two/1"
    for _ in range(3):
        http1_site.ask_as_victim()


def reply_of(sock: socket.socket) -> bytes:
    """One of HTTP/1.1 whose length is said; what has come until the connection's end."""
    reply = b""
    while (more := sock.recv(65_536)) and (reply := reply + more):
        begin, found, content = reply.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", begin)
        if found and (begin.startswith(b"HTTP/1.1 101") or (length and len(content) >= int(length[1]))):
            break
    return reply


@pytest.mark.parametrize("offer", ["h2c", "h2c, websocket", "H2C", "h2"])
def test_an_offer_of_http2_is_not_passed_on(site: Site, offer: str) -> None:
    """A 101 would be a tunnel past every rule (Traefik CVE-2026-88008)."""
    site.begin()
    with socket.create_connection(("127.0.0.1", site.port), 20) as sock:
        sock.sendall(
            b"GET /offer HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: %b\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" % offer.encode()
        )
        reply = reply_of(sock)
    assert not reply.startswith(b"HTTP/1.1 101"), reply
    for seen in site.seen():
        assert not any("h2" in value.decode("latin-1").lower() for value in seen.all(b"upgrade"))
        assert seen.all(b"http2-settings") == []
    site.ask_as_victim()


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "x"])
def test_content_behind_an_upgrade_of_http1_is_no_request(site: Site, upgrade: str) -> None:
    """A 200 is no upgrade, and the connection is kept: what the length covers is content (nghttpx CVE-2026-58055)."""
    site.begin()
    expected = site.ask_as_victim()
    with socket.create_connection(("127.0.0.1", site.port), 20) as sock:
        sock.sendall(
            b"POST %b HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"
            b"Content-Length: %d\r\n\r\n" % (site.attack, upgrade.encode(), len(HIDDEN)) + HIDDEN
        )
        reply = reply_of(sock)
        assert re.match(rb"HTTP/1\.1 (200|400|502) ", reply), reply
        expected += site.ask_as_victim()
    seen = [(each.method, each.target) for each in site.seen()]
    assert [each for each in seen if each[1] != site.attack] == expected
    assert all(each.content == HIDDEN for each in site.seen() if each.target == site.attack and each.is_whole)
    assert site.server.garbage == []


def test_what_is_right_arrives_as_it_was_sent(site: Site) -> None:
    site.begin()
    with SocketTalk(site.port) as client:
        client.begin()
        crumbs = [(b"cookie", b"a=1"), (b"accept", b"*/*"), (b"cookie", b"b=2")]
        client.send(head(1, fields(b"GET", (b"host", b"Site.example"), *crumbs, path=b"/a?b=%20c")))
        client.send(head(3, fields(b"GET", (b"host", b"other.example:8080"), path=b"/host", authority=b"")))
        client.send(head(5, fields(b"POST", path=b"/t"), END_HEADERS) + data(5, b"abc", 0) + head(5, [(b"x-sum", b"1")]))
        for stream in (1, 3, 5):
            client.wait("end", stream)
            assert client.status(stream) == 200, str(client)
    first, second, third = sorted(site.seen(), key=lambda seen: seen.target)
    is_http1 = isinstance(site.server, RecordingServer)
    name = b"host" if is_http1 else b":authority"
    assert (first.target, first.all(b"cookie"), first.all(b"accept")) == (b"/a?b=%20c", [b"a=1; b=2"], [b"*/*"])
    assert [value.lower() for value in first.all(name)] == [b"site.example"]
    assert (second.target, second.all(name)) == (b"/host", [b"other.example:8080"])
    assert (third.content, third.trailers) == (b"abc", [(b"x-sum", b"1")])
