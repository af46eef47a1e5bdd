"""TLS and mTLS to servers that others wrote: nginx, gunicorn, uvicorn and openssl, with certificates made here."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instance_process import Instance
from pem_files import Pair, authority
from server_processes import APPS, ServerProcesses, free_port, program
from tls_server import server_context, tls_server

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"

CA = authority()
APP = CA.issue("app.internal")
CLIENT = CA.issue("balance")
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen {address} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_session_cache shared:a:1m;
    ssl_client_certificate {ca}; ssl_verify_client on;
    location / {{ return 200 "$ssl_client_s_dn $ssl_server_name $ssl_session_reused $request_method"; }}
    location /close {{ keepalive_timeout 0; return 200 "closed"; }}
  }}
}}
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ServerProcesses]:
    made = ServerProcesses(tmp_path)
    yield made
    made.stop()


def nginx(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    config = processes.folder / "nginx.conf"
    config.write_text(NGINX.format(folder=processes.folder, address=address, cert=APP.cert, key=APP.key, ca=CA.cert))
    processes.start("nginx", [program("nginx"), "-p", str(processes.folder), "-e", "stderr", "-c", str(config)])
    return address


def gunicorn(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    secured = ["--certfile", str(APP.cert), "--keyfile", str(APP.key), "--ca-certs", str(CA.cert), "--cert-reqs", "2"]
    command = [sys.executable, "-m", "gunicorn", "--bind", address, "--worker-class", "gthread", "--threads", "4", *secured]
    processes.start("gunicorn", [*command, "--chdir", str(APPS), "wsgi"])
    return address


def uvicorn(processes: ServerProcesses) -> str:
    port = free_port()
    secured = [
        "--ssl-certfile",
        str(APP.cert),
        "--ssl-keyfile",
        str(APP.key),
        "--ssl-ca-certs",
        str(CA.cert),
        "--ssl-cert-reqs",
        "2",
    ]
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--app-dir", str(APPS), "--log-level", "warning"]
    processes.start("uvicorn", [*command, *secured, "asgi:application"])
    return f"127.0.0.1:{port}"


def openssl(processes: ServerProcesses) -> str:
    port = free_port()
    secured = ["-cert", str(APP.cert), "-key", str(APP.key), "-CAfile", str(CA.cert), "-Verify", "2", "-verify_return_error"]
    processes.start("openssl", ["openssl", "s_server", "-accept", str(port), *secured, "-www", "-quiet"])
    return f"127.0.0.1:{port}"


def serve(folder: Path, address: str, client: Pair | None = CLIENT, name: str = "app.internal") -> Instance:
    own = f"client_cert_file: {client.cert}, client_key_file: {client.key}, " if client is not None else ""
    return Instance(
        folder,
        f"""
listen: "127.0.0.1:0"
backends: [{{name: app, address: "{address}"}}]
tls: {{backend: {{{own}ca_file: {CA.cert}, server_name: {name}}}}}
health_check: {{enabled: true, type: http, path: /, expected_status: 200-499, interval: 2s, timeout: 1s}}
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
""",
    ).ready()


def ask(port: int, method: str = "GET", path: str = "/", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("start", [nginx, gunicorn, uvicorn, openssl], ids=lambda start: start.__name__)
def test_a_server_that_asks_for_our_certificate_is_served(
    processes: ServerProcesses, tmp_path: Path, start: Callable[[ServerProcesses], str]
) -> None:
    address = start(processes)
    processes.wait_for({start.__name__: address})
    instance = serve(tmp_path, address)
    try:
        for _ in range(3):
            status, body = ask(instance.port)
            assert status < 500, (body, instance.log)
        if start is nginx:
            status, body = ask(instance.port)
            assert (status, body.split()[:2]) == (200, [b"CN=balance", b"app.internal"])
            assert [ask(instance.port, "POST", "/close", b"x" * 100_000)[1] for _ in range(5)] == [b"closed"] * 5
            assert ask(instance.port)[1].split()[2] in (b"r", b".")
    finally:
        instance.destroy()
    for own, name, words in ((None, "app.internal", "it refuses"), (CLIENT, "other.internal", "Hostname mismatch")):
        if own is None and start in (nginx, uvicorn):
            continue  # nginx answers 400 in HTTP; asyncio's servers close without the alert
        instance = serve(tmp_path, address, own, name)
        try:
            assert ask(instance.port)[0] in (502, 503)
            instance.saying(words)
        finally:
            instance.destroy()


def test_check_backends_says_the_verdict(processes: ServerProcesses, tmp_path: Path) -> None:
    address = nginx(processes)
    processes.wait_for({"nginx": address})
    file = tmp_path / "x.yaml"
    file.write_text(
        f'listen: ":1"\nbackends: [{{name: app, address: "https://{address}"}}]\n'
        f"tls: {{backend: {{ca_file: {CA.cert}, server_name: app.internal}}}}\n"
    )
    command = [sys.executable, "-m", "balance.cli.validate", "--check-backends", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("TLS to default.app: TLSv1.")
    assert done.stdout.splitlines()[0].endswith(", its certificate is for app.internal")


def test_the_example_reaches_both_kinds_of_backends(tmp_path: Path) -> None:
    """deployments/examples/tls-to-backends.yaml, with certificates made here."""
    here = CA.issue("app", "IP:127.0.0.1")
    orders = CA.issue("orders.internal")
    text = (EXAMPLES / "tls-to-backends.yaml").read_text().replace('":8080"', '"127.0.0.1:0"')
    with (
        tls_server(server_context(here)) as app_1,
        tls_server(server_context(here)) as app_2,
        tls_server(server_context(orders, CA)) as orders_1,
        tls_server(server_context(orders, CA)) as orders_2,
    ):
        replaced = {
            "certificates/backend-ca.crt": CA.cert,
            "certificates/example.crt": CLIENT.cert,
            "certificates/example.key": CLIENT.key,
            "127.0.0.1:9001": app_1.address,
            "127.0.0.1:9002": app_2.address,
            "127.0.0.1:9101": orders_1.address,
            "127.0.0.1:9102": orders_2.address,
        }
        for old, new in replaced.items():
            text = text.replace(old, str(new))
        instance = Instance(tmp_path, text + '\nadmin: {listen: "127.0.0.1:0"}\nshutdown: {delay: 0s}\n').ready()
        try:
            assert [ask(instance.port, path=path)[0] for path in ("/", "/", "/orders", "/orders")] == [200] * 4
        finally:
            instance.destroy()
        assert set(orders_1.names + orders_2.names) == {"orders.internal"}
        assert all(orders_1.clients + orders_2.clients)
        assert set(app_1.names + app_2.names) == {None}
