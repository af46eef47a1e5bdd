"""The HTTP clients of the battery: each does what it can with a site and says what it found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import requests
from server_processes import START_TIMEOUT_S, ServerProcesses, program

UPLOAD = bytes(range(256)) * 8000  # 2 MB


class Site:
    """The two servers, by their own addresses or by Balance's."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.app = f"http://{addresses['uvicorn']}"
        self.files = f"http://{addresses['nginx']}"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def by_requests(site: Site) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        first = session.get(f"{site.app}/hello")
        reply = session.get(f"{site.app}/hello", headers={"If-None-Match": first.headers["ETag"]})
        found = {
            "hello": [first.status_code, first.text, dict(session.cookies)],
            "unchanged": reply.status_code,
            "big": sha(session.get(f"{site.app}/big").content),
            "pieces": sha(session.get(f"{site.app}/pieces").content),
            "redirect": [(away := session.get(f"{site.app}/away")).text, len(away.history)],
            "upload": session.post(f"{site.app}/echo", data=UPLOAD).json()["sha"],
            "in chunks": session.post(f"{site.app}/echo", data=iter([UPLOAD[:70_000], UPLOAD[70_000:]])).json()["sha"],
            "form": session.post(f"{site.app}/echo", files={"file": ("x", UPLOAD)}).json()["size"] > len(UPLOAD),
            "head": [(reply := session.head(f"{site.app}/hello")).headers["Content-Length"], reply.text],
            "statuses": [session.get(f"{site.app}/status/{status}").status_code for status in (204, 404, 500)],
            "streamed": len(list(session.get(f"{site.app}/events", stream=True).iter_lines())),
            "range": session.get(f"{site.files}/big", headers={"Range": "bytes=-5"}).content.hex(),
        }
    return found


def by_httpx(site: Site) -> dict[str, Any]:
    with httpx.Client(trust_env=False, timeout=START_TIMEOUT_S) as client:
        return {
            "hello": (reply := client.get(f"{site.app}/hello")).text + reply.headers["etag"],
            "big": sha(client.get(f"{site.app}/big").content),
            "redirect": client.get(f"{site.app}/away", follow_redirects=True).text,
            "upload": client.put(f"{site.app}/echo", content=UPLOAD).json()["sha"],
            "in chunks": client.post(f"{site.app}/echo", content=iter([b"a" * 5000, b"b"])).json()["sha"],
            "statuses": [client.get(f"{site.app}/status/{status}").status_code for status in (204, 404, 500)],
            "options": client.options(f"{site.app}/echo").json()["method"],
        }


def by_aiohttp(site: Site) -> dict[str, Any]:
    async def find() -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:

            async def read(path: str) -> str:
                async with session.get(site.app + path) as reply:
                    return sha(await reply.read())

            async with session.post(f"{site.app}/echo", data=UPLOAD, expect100=True) as reply:
                upload = (await reply.json())["sha"]
            async with session.ws_connect(f"{site.app}/socket", max_msg_size=0) as socket:
                await socket.send_str("hello")
                await socket.send_bytes(UPLOAD)
                echoed = [await socket.receive_str(), sha(await socket.receive_bytes())]
            return {
                "many": await asyncio.gather(*(read(f"/hello?{number}") for number in range(50))),
                "big": await asyncio.gather(*(read("/big") for _ in range(4))),
                "upload": upload,
                "websocket": [*echoed, socket.close_code],
            }

    return asyncio.run(find())


def by_curl(site: Site) -> dict[str, Any]:
    def curl(*words: str, sent: bytes = b"") -> str:
        command = [program("curl"), "--silent", "--show-error", "--noproxy", "*", "--max-time", f"{START_TIMEOUT_S:g}", *words]
        done = subprocess.run(command, input=sent, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("latin-1")

    return {
        "used again": curl(*[f"{site.app}/hello"] * 3, "--write-out", "%{num_connects} "),
        "from a pipe": json.loads(curl("--upload-file", "-", f"{site.app}/echo", sent=UPLOAD)),
        "with 100": json.loads(
            curl("--header", "Expect: 100-continue", "--data-binary", "@-", f"{site.app}/echo", sent=UPLOAD)
        ),
        "as 1.0": curl("--http1.0", "--write-out", "%{http_code} %{size_download}", f"{site.app}/pieces"),
        "offering h2c": curl("--http2", f"{site.app}/hello"),
        "refused": curl("--data-binary", "@-", "--write-out", "%{http_code}", f"{site.app}/refuse", sent=UPLOAD),
        "resumed": curl("--range", "5119990-", "--write-out", "%{http_code}", f"{site.files}/big"),
        "head": curl("--head", "--write-out", "%{http_code} %{header_json}", f"{site.files}/hello").count("etag"),
    }


FINDERS: list[Callable[[Site], dict[str, Any]]] = [by_requests, by_httpx, by_aiohttp, by_curl]


def comparable(found: dict[str, Any], site: Site) -> Any:
    """The one difference that there must be: the address that the client was told to go to."""
    return json.loads(json.dumps(found).replace(site.app.removeprefix("http://"), "app"))


def start_browser(processes: ServerProcesses, name: str, url: str) -> None:
    """Chromium without a window, a sandbox (we may be root) and all that it likes to say to its maker."""
    quiet = ("background-networking", "component-update", "sync", "default-apps", "extensions", "gpu", "dev-shm-usage")
    options = [
        "--headless=new",
        "--no-sandbox",
        "--no-first-run",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={processes.folder / f'browser {name}'}",
        *(f"--disable-{what}" for what in quiet),
    ]
    processes.start(f"browser {name}", [program("chromium"), *options, url], HOME=str(processes.folder))


def report(site: Site, name: str) -> Any:
    """What the page in a browser has found."""
    deadline = time.monotonic() + 2 * START_TIMEOUT_S
    while time.monotonic() < deadline:
        found = requests.get(f"{site.app}/report/{name}", timeout=START_TIMEOUT_S).text
        if found:
            return json.loads(found)
        time.sleep(0.1)
    raise AssertionError(f"no report of {name}")
