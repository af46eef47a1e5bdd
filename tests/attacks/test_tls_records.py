"""After the handshake: renegotiation, and records that are empty, oversized, of a byte, alerts, or new keys, without end."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from attacked import GoodClient, Site
from crafted_tls import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    DATA,
    HANDSHAKE,
    HEARTBEAT,
    HELLO_REQUEST,
    KEY_UPDATE,
    KEY_UPDATE_WANTED,
    NO_RENEGOTIATION,
    USER_CANCELED,
    CraftedClient,
    hello,
)
from instance_process import until
from pem_files import self_signed

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

TLS_12, TLS_13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
A = self_signed("a.example")
TLS = {"cert_file": str(A.cert), "key_file": str(A.key)}
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

FLOODS = {
    "empty": (DATA, b""),
    "oversized": (DATA, bytes(16385)),
    "warnings": (ALERT, USER_CANCELED),
    "refusals to renegotiate": (ALERT, NO_RENEGOTIATION),
    "change cipher spec": (CHANGE_CIPHER_SPEC, b"\1"),
    "heartbeats": (HEARTBEAT, b"\1\x40\0x"),
    "of no known type": (99, b"x"),
    "HelloRequest, which servers send": (HANDSHAKE, HELLO_REQUEST),
    "ClientHello": (HANDSHAKE, b""),
    "new keys": (HANDSHAKE, KEY_UPDATE),
    "new keys in return": (HANDSHAKE, KEY_UPDATE_WANTED),
}


@pytest.mark.parametrize("version", [TLS_12, TLS_13])
def test_records_without_data_end_their_connection(tmp_path: Path, version: ssl.TLSVersion) -> None:
    renewal = hello(version)[5:]
    with Site(tmp_path, tls=TLS) as site, GoodClient(site) as good:

        def attack() -> None:
            for name, (kind, content) in FLOODS.items():
                for _ in range(4):
                    with site.connect() as sock:
                        client = CraftedClient(sock, version)
                        data = b"".join(
                            client.seal(kind, content or (renewal if name == "ClientHello" else b"")) for _ in range(400)
                        )
                        try:
                            sock.sendall(data)
                            while sock.recv(65536):
                                pass
                        except (ConnectionResetError, BrokenPipeError):
                            pass
                        except TimeoutError:
                            pytest.fail(f"{name}: it is open")
                good.answers(2)

        site.withstands(attack)


@pytest.mark.parametrize("version", [TLS_12, TLS_13])
def test_records_of_a_byte_are_served_one_after_the_other(tmp_path: Path, version: ssl.TLSVersion) -> None:
    with Site(tmp_path, tls=TLS) as site, GoodClient(site) as good:

        def attack() -> None:
            clients = [CraftedClient(site.connect(), version) for _ in range(40)]
            for client in clients:
                client.sock.sendall(b"".join(client.seal(DATA, bytes([byte])) for byte in REQUEST * 20))
            good.answers(5)
            for client in clients:
                with client.sock:
                    assert client.sock.recv(1)

        site.withstands(attack)


def test_openssl_may_not_renegotiate(tmp_path: Path) -> None:
    with Site(tmp_path, tls=TLS) as site, GoodClient(site):
        before = site.instance.metric('balance_tls_handshakes_total{result="ok"}')
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-tls1_2"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
            assert client.stdin is not None
            until(lambda: site.instance.metric('balance_tls_handshakes_total{result="ok"}') > before, "a handshake")
            client.stdin.write(b"R\n")
            client.stdin.flush()
            said, _ = client.communicate(timeout=20)
        assert b"RENEGOTIATING" in said
        assert b"no renegotiation" in said
