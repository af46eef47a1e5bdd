"""Programs that people have: curl and nghttp, without TLS and with it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from pem_files import self_signed
from rawclient import Message, ok
from stage import Stage, serve

from balance.config.model import HttpConfig
from balance.model import Why
from balance.tls.settings import ServerTls

TLS = ServerTls(True, (self_signed("a.example").certificate,), alpn_protocols=("h2", "http/1.1"))
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
