"""Who claims to be somebody else, by X-Forwarded-For, a PROXY header or Host: whole instances believe none of it."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacked import GoodClient, Site
from instance_process import until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

BLOCKED, ALLOWED = "127.0.0.66", "127.0.0.2"
FORGED = (
    {"X-Forwarded-For": ALLOWED},
    {"X-Forwarded-For": f"{ALLOWED}, {ALLOWED}"},
    {"X-Real-IP": ALLOWED},
    {"Forwarded": f"for={ALLOWED}"},
    {"X_Forwarded_For": ALLOWED},
    {"True-Client-IP": ALLOWED, "CF-Connecting-IP": ALLOWED},
)


def ask(site: Site, source: str, fields: dict[str, str], host: str = "a.example", path: str = "/x") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20, source_address=(source, 0))
    try:
        connection.request("GET", path, headers={"Host": host, **fields})
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def site(tmp_path: Path, log: Path) -> Iterator[Site]:
    """Nobody is trusted but 127.0.0.9; 127.0.0.66 may not come; five requests an hour."""
    limit = {"enabled": True, "type": "sliding-window", "window": "1h", "max_requests": 5}
    with Site(
        tmp_path,
        security={"trusted_proxies": ["127.0.0.9"], "ip_blocklist": {"blocked_ips": [BLOCKED]}},
        http={"routes": [{"name": "limited", "path": "/limited", "rate_limit": limit}, {"name": "rest"}]},
        logging={"access_log": {"enabled": True, "output": str(log)}},
    ) as made:
        yield made


def test_a_forged_address_opens_no_door_and_is_in_no_log(site: Site, log: Path) -> None:
    with GoodClient(site):
        for fields in FORGED:
            with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
                ask(site, BLOCKED, fields)
            forged = {name: value.replace(ALLOWED, "9.9.9.9") for name, value in fields.items()}
            status, seen = ask(site, "127.0.0.3", forged)
            assert status == 200
            lines = dict(line.lower().split(": ", 1) for line in seen.splitlines() if ": " in line)
            assert lines["x-forwarded-for"] == "127.0.0.3"
            assert "9.9.9.9" not in lines.get("x-real-ip", "") + lines.get("forwarded", "") + lines.get("x_forwarded_for", "")
    until(lambda: log.read_text().count('"127.0.0.3"') == len(FORGED), "its lines")
    assert all(json.loads(line)["client"] in ("127.0.0.1", "127.0.0.3") for line in log.read_text().splitlines())


def test_a_forged_address_is_no_way_around_a_limit(site: Site) -> None:
    statuses = [ask(site, "127.0.0.4", {"X-Forwarded-For": f"8.8.8.{n}"}, path="/limited")[0] for n in range(20)]
    assert statuses == [200] * 5 + [429] * 15
    # Behind a trusted proxy the right-most one that is not trusted counts, whatever the client wrote to its left.
    through = [ask(site, "127.0.0.9", {"X-Forwarded-For": f"8.8.8.{n}, 7.7.7.7"}, path="/limited")[0] for n in range(8)]
    assert through == [200] * 5 + [429] * 3
    assert ask(site, "127.0.0.9", {"X-Forwarded-For": BLOCKED})[0] == 403


def test_a_proxy_header_of_somebody_who_is_not_listed_is_never_read(tmp_path: Path) -> None:
    v1 = b"PROXY TCP4 9.9.9.9 9.9.9.9 1 2\r\n"
    v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)
    get = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with Site(tmp_path) as site:  # a listener that takes none
        for header in (v1, v2):
            with site.connect() as sock:
                sock.sendall(header + get)
                assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
    listed = {"proxy_protocol": {"accept": True, "trusted": ["127.0.0.9"], "timeout": "1s"}}
    with Site(tmp_path, **listed) as site:

        def attack() -> None:
            for data in (v1 + get, v2 + get, get, v1[:10], b"") * 20:
                with site.connect() as sock:
                    sock.sendall(data)
                    with contextlib.suppress(ConnectionResetError):
                        assert sock.recv(100) == b""

        site.withstands(attack)
        with site.connect("127.0.0.9") as sock:
            sock.sendall(v1 + get)
            reply = b""
            while more := sock.recv(65536):
                reply += more
            assert b"x-forwarded-for: 9.9.9.9" in reply.lower()


HOSTS = (
    (b"GET /x HTTP/1.1\r\nHost: public\r\nHost: internal\r\n\r\n", b"400"),
    (b"GET /x HTTP/1.1\r\nHost: public\r\nHost : internal\r\n\r\n", b"400"),
    (b"GET /x HTTP/1.1\r\nHost: public, internal\r\n\r\n", b"400"),
    (b"GET /x HTTP/1.1\r\nHost: public@internal\r\n\r\n", b"400"),
    (b"GET /x HTTP/1.1\r\nHost: public\0internal\r\n\r\n", b"400"),
    (b"GET /x HTTP/1.1\r\n\r\n", b"400"),
    (b"GET http://public/x HTTP/1.1\r\nHost: internal\r\n\r\n", b"400"),
    (b"GET http://internal/x HTTP/1.1\r\nHost: public\r\n\r\n", b"400"),
    (b"GET http://public/x HTTP/1.1\r\nHost: public\r\n\r\n", b"200"),
    (b"GET /x HTTP/1.1\r\nHost: public\r\nX-Forwarded-Host: internal\r\nX-Host: internal\r\n\r\n", b"200"),
    (b"GET /x HTTP/1.1\r\nHost: PUBLIC.:80\r\n\r\n", b"200"),
    (b"GET /x HTTP/1.1\r\nHost: internal\r\n\r\n", b"403"),
    (b"GET /x HTTP/1.1\r\nHost: INTERNAL.\r\n\r\n", b"403"),
    (b"GET http://internal/x HTTP/1.1\r\nHost: internal\r\n\r\n", b"403"),
)


def test_one_host_counts_and_no_other_spelling_leads_around_a_route(tmp_path: Path) -> None:
    routes = [
        {"name": "internal", "host": "internal", "respond": {"status": 403}},
        {"name": "public", "host": "public"},
    ]
    with Site(tmp_path, http={"routes": routes}) as site:
        for head, status in HOSTS:
            with site.connect() as sock:
                sock.sendall(head)
                reply = sock.recv(65536)
                assert reply[9:12] == status, (head, reply)
                assert status != b"200" or b"internal" not in reply.split(b"\r\n\r\n", 1)[1].lower().replace(
                    b"x-host: internal", b""
                )
