"""The example files of `tls` before running backends, asked by curl."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from instance_process import Instance

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"
CERTIFICATES = EXAMPLES / "certificates"
pytestmark = pytest.mark.long

Curl = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Instance]]:
    """Starts the instance of an example; each backend is `balance backend --catch-all`."""
    with ExitStack() as stack:

        def backend(name: str) -> str:
            words = [sys.executable, "-m", "balance", "backend", "--port", "0", "--name", name, "--catch-all"]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            stack.callback(process.wait)
            stack.callback(process.terminate)
            stack.callback(process.stdout.close)
            return f"127.0.0.1:{process.stdout.readline().rsplit(':', 1)[1].strip()}"

        def start(example: str) -> Instance:
            text = re.sub(r'listen: ":\d+"', 'listen: "127.0.0.1:0"', (EXAMPLES / example).read_text())
            text = re.sub(
                r'name: (\S+), address: "[\d.:]+"', lambda found: f'name: {found[1]}, address: "{backend(found[1])}"', text
            )
            text = text.replace("certificates/", f"{CERTIFICATES}/").replace("redirect_http: true", "redirect_http: 8443")
            text += "\nworkers: 1\nadmin: {listen: '127.0.0.1:0'}\nshutdown: {delay: 0s}\n"
            instance = Instance(tmp_path, text).ready()
            stack.callback(instance.destroy)
            return instance

        yield start


def port_of(instance: Instance, listener: str) -> int:
    return int(instance.saying(rf"listener {listener}: \w+ on \S*:(\d+)")[1])


def curl(port: int, url: str, *words: str | Path, ca: str = "example.crt") -> str:
    """The reply with its head; the name of the URL leads to this port of ours."""
    command = ["curl", "-sSi", "--max-time", "15", "--connect-to", f"::127.0.0.1:{port}", "--cacert", str(CERTIFICATES / ca)]
    done = subprocess.run([*command, *map(str, words), url], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr


def test_the_tls_example(serve: Callable[[str], Instance]) -> None:
    instance = serve("tls.yaml")
    plain, secure = port_of(instance, "http"), port_of(instance, "https")
    answer = curl(secure, "https://www.example.com/x")
    assert answer.startswith("HTTP/2 200 ")
    assert "x-forwarded-proto: https" in answer.lower()
    assert "strict-transport-security: max-age=31536000" in answer
    assert curl(secure, "https://www.example.com/x", "--http1.1").startswith("HTTP/1.1 200 OK")
    assert curl(secure, "https://a.api.example.com/x", ca="api.crt").startswith("HTTP/2 200 ")
    sent = curl(plain, "http://www.example.com:8080/x?a=b", "-d", "body")
    assert sent.startswith("HTTP/1.1 308 ")
    assert "\nLocation: https://www.example.com:8443/x?a=b\n" in sent
    assert "strict-transport" not in sent.lower()  # RFC 6797 section 7.2
    challenge = curl(plain, "http://www.example.com/.well-known/acme-challenge/token")
    assert challenge.startswith("HTTP/1.1 200 OK")
    assert "acme-1 GET /.well-known/acme-challenge/token" in challenge
    assert curl(plain, "http://www.example.com/.well-known/acme-challenge/../x", "--path-as-is").startswith("HTTP/1.1 4")
    assert curl(plain, "http://x/", "-0", "-H", "Host:").startswith("HTTP/1.1 400 ")


def test_the_client_certificates_example(serve: Callable[[str], Instance]) -> None:
    instance = serve("client-certificates.yaml")

    def ask(name: str, *words: str) -> str:
        pair = ["--cert", CERTIFICATES / f"client-{name}.crt", "--key", CERTIFICATES / f"client-{name}.key"] if name else []
        return curl(instance.port, "https://www.example.com/x", *pair, *words)

    for version in ("--tlsv1.3", "--tls-max=1.2"):
        words = version.split("=") if "=" in version else [version]
        answer = ask("ada", *words, "-H", "X-SSL-Client-DN: CN=root", "-H", "X_SSL_Client_Verify: NONE").lower()
        assert answer.startswith("http/2 200 ")
        assert re.findall("^(x.ssl.client.*?)\r?$", answer, re.MULTILINE)[:5] == [
            "x-ssl-client-verify: success",
            "x-ssl-client-dn: cn=ada,o=example",
            "x-ssl-client-issuer-dn: cn=example of an authority for clients",
            "x-ssl-client-san: dns:ada.example.com,uri:spiffe://example.com/ada",
            "x-ssl-client-serial: 01",
        ]
        assert "root" not in answer
        for name in ("bob", ""):
            assert "HTTP/" not in ask(name, *words)
    instance.saying("tls_client_certificate: revoked: certificate revoked")
    instance.saying("tls_client_certificate: none: peer did not return a certificate")
