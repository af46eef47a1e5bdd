"""A whole instance asks clients for certificates: curl and openssl enter, and a new list of the revoked counts everywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_process import Instance, until
from pem_files import Pair, authority, self_signed

pytestmark = pytest.mark.long

CA = authority()
ADA, BOB = CA.issue("ada", serial=1), CA.issue("bob", serial=2)
CONFIG = """
mode: http
listen: "127.0.0.1:0"
workers: 2
http: {routes: [{name: all, respond: {status: 200, body: fine}}]}
admin: {listen: "127.0.0.1:0"}
shutdown: {delay: 0s}
tls: {cert_file: tls.crt, key_file: tls.key, client_auth: require-and-verify, client_ca_file: ca.crt, client_crl_file: crl.pem}
"""


def put(file: Path, target: Path) -> None:
    """As a renewal does: by rename."""
    new = target.with_suffix(".new")
    shutil.copy(file, new)
    new.rename(target)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    server = self_signed("a.example")
    for source, name in ((server.cert, "tls.crt"), (server.key, "tls.key"), (CA.cert, "ca.crt"), (CA.revoking(9), "crl.pem")):
        put(source, tmp_path / name)
    started = Instance(tmp_path, CONFIG)
    try:
        yield started.ready()
    finally:
        started.destroy()


def curl(instance: Instance, pair: Pair | None, *words: str) -> str:
    command = ["curl", "-sk", "--max-time", "10", f"https://127.0.0.1:{instance.port}/", *words]
    if pair is not None:
        command += ["--cert", str(pair.cert), "--key", str(pair.key)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout


def test_a_new_list_counts_in_every_worker_and_in_the_successor_of_one_that_crashed(instance: Instance, tmp_path: Path) -> None:
    assert curl(instance, BOB) == curl(instance, ADA) == "fine"
    put(CA.revoking(2), tmp_path / "crl.pem")
    instance.saying("is served .a file of tls has changed.")
    for version in ("--tlsv1.3", "--tls-max"):
        words = [version] if version == "--tlsv1.3" else [version, "1.2"]
        assert [curl(instance, BOB, *words) for _ in range(6)] == [""] * 6
        assert curl(instance, ADA, *words) == "fine"
    pid = instance.children("balance-worker")[0]
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(instance.children("balance-worker")) - {pid}) == 2, lambda: instance.log)
    instance.saying("is ready$")
    assert [curl(instance, BOB) for _ in range(8)] == [""] * 8
    assert curl(instance, ADA) == "fine"


def test_a_list_that_cannot_be_used_changes_nothing_and_is_told(instance: Instance, tmp_path: Path) -> None:
    put(CA.revoking(2), tmp_path / "crl.pem")
    instance.saying("is served .a file of tls has changed.")
    put(authority("Other CA").revoking(), tmp_path / "crl.pem")
    instance.saying(r"client_crl_file: .*crl.pem' has no list of 'CN=Test CA', which is in client_ca_file")
    assert (curl(instance, BOB), curl(instance, ADA)) == ("", "fine")
    (tmp_path / "crl.pem").unlink()
    os.kill(instance.process.pid, signal.SIGHUP)
    instance.saying(r"client_crl_file: 'crl.pem' can't be read: No such file")
    assert (curl(instance, BOB), curl(instance, ADA)) == ("", "fine")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_is_asked_for_its_certificate_and_resumes_nothing(instance: Instance, tmp_path: Path, version: str) -> None:
    session = tmp_path / "session.pem"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{instance.port}", version, "-ign_eof"]
    pair = ["-cert", str(ADA.cert), "-key", str(ADA.key)]
    request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"

    def run(*words: str) -> bytes:
        done = subprocess.run([*command, *words], input=request, capture_output=True, timeout=20, check=False)
        return done.stdout + done.stderr

    assert b"HTTP/1.1 200" in run(*pair, "-sess_out", str(session))
    if session.exists():  # TLS 1.3 gives none out
        again = run(*pair, "-sess_in", str(session))
        assert b"Reused" not in again
        assert b"HTTP/1.1 200" in again
    assert b"HTTP/1.1" not in run()


JAVA = """
import java.net.URI;
import java.net.http.*;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import javax.net.ssl.*;

public class Client {
    public static void main(String[] a) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (var in = new java.io.FileInputStream(a[1])) { store.load(in, "x".toCharArray()); }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, "x".toCharArray());
        TrustManager everybody = new X509ExtendedTrustManager() {
            public void checkClientTrusted(X509Certificate[] c, String s) {}
            public void checkServerTrusted(X509Certificate[] c, String s) {}
            public void checkClientTrusted(X509Certificate[] c, String s, java.net.Socket k) {}
            public void checkServerTrusted(X509Certificate[] c, String s, java.net.Socket k) {}
            public void checkClientTrusted(X509Certificate[] c, String s, SSLEngine e) {}
            public void checkServerTrusted(X509Certificate[] c, String s, SSLEngine e) {}
            public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
        };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), new TrustManager[] {everybody}, null);
        for (String version : new String[] {"TLSv1.2", "TLSv1.2", "TLSv1.3", "TLSv1.3"}) {
            SSLParameters only = new SSLParameters();
            only.setProtocols(new String[] {version});
            HttpClient client = HttpClient.newBuilder().sslContext(context).sslParameters(only)
                .version(HttpClient.Version.HTTP_1_1).build();
            HttpRequest request = HttpRequest.newBuilder(URI.create("https://localhost:" + a[0] + "/")).build();
            try {
                System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
            } catch (java.io.IOException e) {
                System.out.println("refused");
            }
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("java") is None, reason="no java")
def test_another_library_of_tls_enters_and_is_refused_alike(instance: Instance, tmp_path: Path) -> None:
    """JSSE, which resumes sessions wherever it can: never here."""
    (tmp_path / "Client.java").write_text(JAVA)
    put(CA.revoking(2), tmp_path / "crl.pem")
    instance.saying("is served .a file of tls has changed.")
    for pair, expected in ((ADA, "fine"), (BOB, "refused")):
        store = tmp_path / "store.p12"
        words = ["-inkey", str(pair.key), "-in", str(pair.cert), "-out", str(store), "-passout", "pass:x"]
        subprocess.run(["openssl", "pkcs12", "-export", *words], check=True, capture_output=True)
        command = ["java", str(tmp_path / "Client.java"), str(instance.port), str(store)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
        assert done.stdout.split() == [expected] * 4, done.stderr


def test_metrics_say_when_the_list_ends_and_who_was_refused(instance: Instance) -> None:
    assert curl(instance, None) == ""
    page = until(
        lambda: "client_certificate" in (found := instance.get("/metrics", instance.admin_port)[1]) and found, "metrics"
    )
    assert 'balance_tls_handshakes_total{result="client_certificate"} 1.0' in page
    assert 'balance_tls_crl_expiry_seconds{crl="' in page
