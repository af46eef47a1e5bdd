"""Programs that people have: curl and nghttp, without TLS and with it."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from http2_client import Http2Client
from pem_files import authority, read, self_signed
from rawclient import Message, ok
from stage import Stage, serve

from balance.config.model import HttpConfig, ProxyProtocol
from balance.model import Why
from balance.tls.settings import ServerTls

TLS = ServerTls(True, (self_signed("a.example").certificate,), alpn_protocols=("h2", "http/1.1"))
CA = authority()
BOB = CA.issue("bob", serial=2)
BODY = bytes(range(256)) * 8000


async def output(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return out


def echo(request: Message) -> bytes:
    return ok(request.body or request.target.encode())


async def opened(stage: Stage, *, has_tls: bool) -> str:
    stage.backend(serve(echo))
    await stage.open(http=HttpConfig(h2c=True), **({"tls": TLS} if has_tls else {}))  # type: ignore[arg-type]
    return f"{'https' if has_tls else 'http'}://127.0.0.1:{stage.address.port}"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("has_tls", [False, True])
async def test_curl(stage: Stage, tmp_path: Path, has_tls: bool) -> None:
    url = await opened(stage, has_tls=has_tls)
    body = tmp_path / "body"
    body.write_bytes(BODY)
    curl = ("curl", "-skf", "--http2" if has_tls else "--http2-prior-knowledge")
    assert await output(*curl, "-w", "%{http_version}", f"{url}/path?q") == b"/path?q2"
    assert await output(*curl, "--data-binary", f"@{body}", url) == BODY
    assert await output(*curl, "-T", str(body), "-H", "Content-Length:", url) == BODY  # without a length
    assert (await output(*curl, "-I", url)).startswith(b"HTTP/2 200")
    assert await output("curl", "-skf", "--http1.1", "-w", "%{http_version}", url) == b"/1.1"
    assert set(stage.whys) == {Why.OK}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_client_with_a_certificate_is_told_to_backends_and_has_one_host_on_a_connection(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    pairs = (self_signed("a.example").certificate, self_signed("b.example").certificate)
    await stage.open(tls=replace(TLS, certificates=pairs, client_auth="require-and-verify", client_ca_file=read(CA.cert)))
    port = stage.address.port
    curl = ("curl", "-sk", "--http2", "--cert", str(BOB.cert), "--key", str(BOB.key), "-w", " %{http_version} %{http_code}")
    own = ("--resolve", f"a.example:{port}:127.0.0.1", f"https://a.example:{port}/")
    assert await output(*curl, *own) == b"ok 2 200"
    assert (await output(*curl, "-H", f"Host: b.example:{port}", *own)).endswith(b" 2 421")
    assert [(each.get("x-ssl-client-verify"), each.get("x-ssl-client-dn")) for each in seen] == [("SUCCESS", "CN=bob")]
    assert stage.whys == {Why.OK: 1, Why.MISDIRECTED: 1}


async def test_proxy_header_comes_before_the_preface(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open(http=HttpConfig(h2c=True), proxy_protocol=ProxyProtocol(True, (ip_network("127.0.0.0/8"),)))
    wire = await stage.client()
    await wire.send(b"PROXY TCP4 192.0.2.9 192.0.2.1 1234 80\r\n")
    client = Http2Client(wire)
    await client.begin()
    assert (await client.reply(await client.request())).status == 200
    assert [each.get("x-forwarded-for") for each in seen] == ["192.0.2.9"]


@pytest.mark.skipif(shutil.which("nghttp") is None, reason="needs nghttp")
@pytest.mark.parametrize("has_tls", [False, True])
async def test_nghttp(stage: Stage, tmp_path: Path, has_tls: bool) -> None:
    url = await opened(stage, has_tls=has_tls)
    body = tmp_path / "body"
    body.write_bytes(BODY)
    assert await output("nghttp", f"{url}/path?q") == b"/path?q"
    assert await output("nghttp", "-d", str(body), url) == BODY
    assert await output("nghttp", "-m", "20", "-w", "10", f"{url}/many") == b"/many" * 20
    assert stage.whys == {Why.OK: 22}
