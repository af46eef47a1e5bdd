"""The example files of `security` before running backends."""

from __future__ import annotations

import base64
import http.client
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from instance_process import PATIENCE_S, Instance

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"

Answer = tuple[int, dict[str, str], str]
Ask = Callable[..., Answer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Ask]]:
    """Starts the instance of an example; each backend is `balance backend --catch-all`."""
    with ExitStack() as stack:

        def started(name: str) -> str:
            words = [sys.executable, "-m", "balance", "backend", "--port", "0", "--name", name, "--catch-all"]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            stack.callback(process.wait)
            stack.callback(process.terminate)
            stack.callback(process.stdout.close)
            return f"127.0.0.1:{process.stdout.readline().rsplit(':', 1)[1].strip()}"

        def start(example: str, **replaced: str) -> Ask:
            """`replaced`: texts of the file, by name, in braces there; files beside it are taken from its folder."""
            text = (EXAMPLES / example).read_text().replace('":8080"', '"127.0.0.1:0"')
            text = re.sub(
                r"name: (\S+), address: [\d.:]+", lambda found: f"name: {found[1]}, address: {started(found[1])}", text
            )
            for old, new in replaced.items():
                text = text.replace(old, new)
            text = re.sub(r"(\S+): (\S+\.(?:htpasswd|jwks|pem))\b", lambda found: f"{found[1]}: {EXAMPLES / found[2]}", text)
            text = text.replace("workers: auto", "workers: 1\nadmin: {listen: '127.0.0.1:0'}\nshutdown: {delay: 0s}")
            instance = Instance(tmp_path, text).ready()
            stack.callback(instance.destroy)

            def ask(path: str, method: str = "GET", body: bytes | None = None, **fields: str) -> Answer:
                connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=PATIENCE_S)
                try:
                    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
                    response = connection.getresponse()
                    headers = {name.lower(): value for name, value in response.getheaders()}
                    return response.status, headers, response.read().decode("latin-1")
                finally:
                    connection.close()

            return ask

        yield start


def test_the_cors_example(serve: Callable[..., Ask]) -> None:
    ask = serve("cors.yaml")
    allowed = "access-control-allow-origin"
    status, headers, _ = ask("/api/x", "OPTIONS", Origin="https://eu.shop.example", Access_Control_Request_Method="PUT")
    assert (status, headers[allowed]) == (204, "https://eu.shop.example")
    assert headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE"
    status, headers, text = ask("/api/x", "PUT", b"x", Origin="https://app.example.org", X_Forwarded_Proto="https")
    assert text.startswith("app PUT /api/x\n")
    assert headers[allowed] == "https://app.example.org"
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    _, headers, _ = ask("/api/x", Origin="https://evil.example")
    assert allowed not in headers
    assert "strict-transport-security" not in headers
    assert ask("/public/x", Origin="https://evil.example")[1][allowed] == "*"
    assert allowed not in ask("/x", Origin="https://app.example.org")[1]


def test_the_basic_auth_example(serve: Callable[..., Ask]) -> None:
    ask = serve("basic-auth.yaml")

    def basic(user: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    status, headers, _ = ask("/internal/x")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="internal", charset="UTF-8"')
    for user, password in (("ada", "lovelace"), ("bob", "builder"), ("carol", "carol's")):
        status, _, text = ask("/internal/x", Authorization=basic(user, password), X_Remote_User="root")
        assert status == 200
        lines = text.splitlines()
        assert f"x-remote-user: {user}" in lines
        assert not any(line.startswith("authorization") or line.endswith("root") for line in lines)
        assert ask("/internal/x", Authorization=basic(user, password + "x"))[0] == 401
    assert ask("/x")[2].startswith("app GET /x\n")


def test_the_jwt_example(serve: Callable[..., Ask], tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "own.pem").write_bytes(public)
    ask = serve("jwt.yaml", **{"tokens.pem": str(tmp_path / "own.pem")})

    def token(**claims: object) -> str:
        usual = {"iss": "https://login.example.org", "aud": "shop", "sub": "ada", "exp": int(time.time()) + 60}
        return "Bearer " + jwt.encode(usual | claims, key, "ES256")

    status, headers, _ = ask("/x")
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="balance"')
    for _ in range(2):
        status, _, text = ask("/x", Authorization=token(), X_User="root", x_user="root")
        assert status == 200
        assert "x-user: ada" in text.splitlines()
        assert "root" not in text and "authorization" not in text.lower()
    assert ask("/x", Authorization=token(aud="other"))[0] == 401
    assert ask("/x", Authorization=token(exp=1))[0] == 401
    assert ask("/admin/x", Authorization=token())[0] == 403
    assert ask("/admin/x", Authorization=token(role="admin"))[0] == 200
    assert ask("/public/x")[0] == 200
