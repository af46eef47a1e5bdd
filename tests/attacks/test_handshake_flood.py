"""Floods of TLS handshakes: whole ones, ones that stop at any stage, and what is none."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import pytest
from attacked import PATIENCE_S, Flood, GoodClient, Site, raise_descriptor_limit
from crafted_tls import ALERT, HANDSHAKE, Half, client_context, hello, record
from instance_process import until
from pem_files import self_signed

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

TLS_12, TLS_13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
A = self_signed("a.example")
TLS = {"cert_file": str(A.cert), "key_file": str(A.key), "handshake_timeout": "2s"}
HELLO = hello()
HELLO_12 = hello(TLS_12)
AT_ONCE = 100

# What is sent first, how much of the flight after the server's is sent, and how it may end.
STOPS = {
    "nothing": b"",
    "a byte": HELLO[:1],
    "a record's header": HELLO[:5],
    "half a ClientHello": HELLO[: len(HELLO) // 2],
    "all but a byte of it": HELLO[:-1],
    "a ClientHello of 1.3, and nothing more": HELLO,
    "a ClientHello of 1.2, and nothing more": HELLO_12,
}
JUNK = {
    "empty records": record(HANDSHAKE, b"") * 1000,
    "oversized records": record(HANDSHAKE, b"")[:3] + b"\xff\xff" + bytes(20_000),
    "a ClientHello without end": record(HANDSHAKE, b"\x01\xff\xff\xff" + bytes(10_000)) * 3,
    "alerts": record(ALERT, b"\x01\x00") * 1000,
    "a record of no known type": record(99, b"x" * 100) * 10,
    "zeros": bytes(30_000),
    "SSL 2": b"\x80\x2e\x01\x00\x02" + bytes(41),
}


def test_handshakes_that_stop_end_at_their_time_limit(tmp_path: Path) -> None:
    raise_descriptor_limit()
    with Site(tmp_path, tls=TLS) as site, GoodClient(site) as good:

        def attack() -> None:
            before = site.ended("tls_timeout")
            with Flood(site) as flood:
                for name, data in STOPS.items():
                    first = flood.made
                    flood.open(AT_ONCE)
                    for number in range(first, flood.made):
                        assert flood.sockets[number].send(data) == len(data), name
                good.answers(5)
                flood.ends()
            until(lambda: site.ended("tls_timeout") == before + AT_ONCE * len(STOPS), site.log)

        site.withstands(attack)


@pytest.mark.parametrize("version", [TLS_12, TLS_13])
def test_a_last_flight_that_stops_ends_at_the_time_limit(tmp_path: Path, version: ssl.TLSVersion) -> None:
    with Site(tmp_path, tls=TLS) as site, GoodClient(site) as good:

        def attack() -> None:
            socks = []
            for number in range(60):
                half = Half(version)
                sock = site.connect()
                socks.append(sock)
                sock.sendall(half.flight())
                flight = b""
                while not flight:
                    flight = half.flight(sock.recv(65536))
                sock.sendall(
                    flight[: number * (len(flight) - 1) // 59] if number < 59 else flight[:-1] + bytes([flight[-1] ^ 1])
                )
            good.answers(5)
            for sock in socks:
                with sock:
                    sock.settimeout(PATIENCE_S)
                    try:
                        while sock.recv(65536):
                            pass
                    except ConnectionResetError:
                        pass

        site.withstands(attack)
        assert site.ended("tls_timeout") >= 100
        assert site.ended("tls_protocol") >= 2  # a Finished that was changed


def test_what_is_no_handshake_ends_at_once(tmp_path: Path) -> None:
    with Site(tmp_path, tls=TLS) as site, GoodClient(site) as good:

        def attack() -> None:
            before = site.ended("tls_protocol") + site.ended("tls_not_tls")
            with Flood(site) as flood:
                for data in JUNK.values():
                    flood.open(AT_ONCE)
                    flood.send(lambda number, data=data: data)
                    flood.look()
                    good.answers(2)
                flood.ends()
            until(
                lambda: site.ended("tls_protocol") + site.ended("tls_not_tls") == before + AT_ONCE * len(JUNK),
                lambda: site.instance.get("/metrics", site.instance.admin_port)[1],
            )

        site.withstands(attack)


def test_whole_handshakes_and_clients_that_leave_in_the_middle(tmp_path: Path) -> None:
    with Site(tmp_path, tls=TLS) as site, GoodClient(site) as good:

        def attack() -> None:
            context = client_context()

            def shake() -> None:
                for _ in range(100):
                    with site.connect() as sock, context.wrap_socket(sock, server_hostname="a.example"):
                        pass

            threads = [threading.Thread(target=shake) for _ in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(3):
                with Flood(site) as flood:  # each costs the server a signature, and the client nothing
                    flood.open(400)
                    flood.send(lambda number: HELLO)
                    flood.look()
            good.answers(10)
            for thread in threads:
                thread.join()

        site.withstands(attack)


def test_the_guard_counts_before_the_handshake(tmp_path: Path) -> None:
    guard = {"enabled": True, "max_connections_per_ip": 20, "max_connection_rate": 0}
    with Site(tmp_path, tls=TLS, security={"connection_protection": guard}) as site, GoodClient(site) as good:

        def attack() -> None:
            before = site.ended("too_many_connections")
            with Flood(site) as flood:
                flood.open(1000)
                flood.send(lambda number: HELLO[:50])
                while flood.resets < 980:
                    flood.look(1.0)
                assert len(flood.sockets) == 20
                assert site.ended("too_many_connections") == before + 980
                good.answers(5)
                flood.ends()
            with site.connect() as sock, client_context().wrap_socket(sock, server_hostname="a.example"):
                pass  # the places of those whose time was over are free

        site.withstands(attack)
