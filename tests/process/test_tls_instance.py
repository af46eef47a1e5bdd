"""A whole instance speaks TLS with real clients: what its workers share, and what a renewal and a mistake do."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_process import Instance, until
from pem_files import Pair, self_signed
from tls_client import client_context

REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


def put(pair: Pair, folder: Path) -> None:
    for source, name in ((pair.cert, "tls.crt"), (pair.key, "tls.key")):
        shutil.copy(source, folder / f"{name}.new")
        (folder / f"{name}.new").rename(folder / name)


def config(tls: str = "") -> str:
    return f"""
mode: http
listen: "127.0.0.1:0"
workers: 2
http: {{routes: [{{name: all, respond: {{status: 200, body: fine}}}}]}}
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
tls: {{cert_file: tls.crt, key_file: tls.key{tls}}}
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    put(self_signed("a.example"), tmp_path)
    started = Instance(tmp_path, config())
    try:
        yield started.ready()
    finally:
        started.destroy()


def served(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[bytes, bool, ssl.SSLSession | None]:
    """The certificate, whether the session was resumed, and the session for the next time."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="a.example", session=session) as client,
    ):
        client.sendall(REQUEST)
        with contextlib.suppress(ssl.SSLEOFError):
            while client.recv(65536):
                pass
        return client.getpeercert(binary_form=True) or b"", bool(client.session_reused), client.session


def test_a_session_is_resumed_by_every_worker_and_over_a_renewal(instance: Instance, tmp_path: Path) -> None:
    context = client_context()
    before, _, session = served(instance.port, context)
    assert all(served(instance.port, context, session)[1] for _ in range(12))
    put(self_signed("a.example", number=9), tmp_path)
    until(lambda: served(instance.port, client_context())[0] != before, lambda: instance.log)
    instance.saying("is served .a file of tls has changed.: .*tls of listener main")
    assert all(served(instance.port, context, session)[1] for _ in range(12))
    # The supervisor has the newest, too: a worker's successor does not bring the old one back.
    pid = instance.children("balance-worker")[0]
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(instance.children("balance-worker")) - {pid}) == 2, lambda: instance.log)
    instance.saying("is ready$")
    assert all(served(instance.port, client_context())[0] != before for _ in range(8))
    assert all(served(instance.port, context, session)[1] for _ in range(8))


def test_a_renewal_that_cannot_be_used_changes_nothing_and_is_told_once(instance: Instance, tmp_path: Path) -> None:
    before = served(instance.port, client_context())[0]
    (tmp_path / "tls.crt").write_bytes(self_signed("b.example").cert.read_bytes())
    instance.saying("is not the key of the certificate .*; the certificate of before is served on")
    assert served(instance.port, client_context())[0] == before
    os.kill(instance.process.pid, signal.SIGHUP)  # a reload neither changes it nor fails
    instance.saying(r"nothing changed, configuration \d goes on \(SIGHUP\)")
    assert served(instance.port, client_context())[0] == before


def test_metrics_say_how_handshakes_ended_and_when_certificates_do(instance: Instance) -> None:
    served(instance.port, client_context())
    with socket.create_connection(("127.0.0.1", instance.port), timeout=10) as plain:
        plain.sendall(REQUEST)
        assert plain.recv(100).startswith(b"HTTP/1.1 400 ")

    def metrics() -> str:
        return instance.get("/metrics", instance.admin_port)[1]

    until(lambda: 'balance_tls_handshakes_total{result="not_tls"} 1.0' in metrics(), metrics)
    assert 'balance_tls_handshakes_total{result="ok"} 1.0' in metrics()
    assert 'balance_tls_certificate_expiry_seconds{certificate="' in metrics()
    assert "PRIVATE" not in instance.get("/config", instance.admin_port)[1]


@pytest.mark.parametrize(("version", "curl"), [("-tls1_2", ["--tls-max", "1.2"]), ("-tls1_3", ["--tlsv1.3"])])
def test_openssl_and_curl_are_served(instance: Instance, tmp_path: Path, version: str, curl: list[str]) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{instance.port}", "-servername", "a.example", version]
    verify = ["-CAfile", str(tmp_path / "tls.crt"), "-verify_return_error", "-verify_hostname", "a.example"]
    done = subprocess.run([*command, *verify, "-ign_eof"], input=REQUEST, capture_output=True, timeout=20, check=False)
    assert b"Verify return code: 0 (ok)" in done.stdout, done.stderr
    assert b"\r\n\r\nfine" in done.stdout
    assert f"TLSv{version[-3]}.{version[-1]}, Cipher is".encode() in done.stdout
    name = f"a.example:{instance.port}"
    resolve = ["--resolve", f"{name}:127.0.0.1", "--cacert", str(tmp_path / "tls.crt")]
    done = subprocess.run(["curl", "-sS", *curl, *resolve, f"https://{name}/"], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"fine"), done.stderr


def test_a_renegotiation_is_refused(instance: Instance) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{instance.port}", "-tls1_2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        assert client.stdin is not None
        instance.counts('balance_tls_handshakes_total{result="ok"}', 1)
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said, _ = client.communicate(timeout=20)
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said
    assert served(instance.port, client_context())[0]


def test_without_its_files_nothing_starts_and_nothing_is_plain(tmp_path: Path) -> None:
    put(self_signed("a.example"), tmp_path)
    (tmp_path / "tls.key").unlink()
    instance = Instance(tmp_path, config())
    assert instance.process.wait(20) != 0
    instance.saying(r"tls.key_file: 'tls.key' can't be read: No such file or directory")
