"""Clients that upload slowly, and others that ask for a small page meanwhile: how many of those are answered in time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field

from server_processes import APPS, ServerProcesses, free_port, program

GET_TIMEOUT_S = 2.0
STEP_S = 0.1

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; client_max_body_size 10m;
    client_body_buffer_size 1m; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream app {{ server {backend}; }}
    server {{
        listen {address};
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_request_buffering {buffering}; }}
    }}
}}
"""


@dataclass
class Seen:
    """What came of it. `waits_s` are those of the small pages that were answered."""

    uploads: int = 0
    uploaded: int = 0
    asked: int = 0
    waits_s: list[float] = field(default_factory=list)


def start_workers(processes: ServerProcesses, workers: int = 4) -> str:
    """gunicorn with sync workers, as they are by default."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "--bind", address, "--workers", str(workers), "--chdir", str(APPS)]
    processes.start(f"gunicorn {address}", [*command, "--worker-tmp-dir", "/dev/shm", "wsgi"])
    return address


def start_nginx_before(processes: ServerProcesses, backend: str, *, is_buffering: bool) -> str:
    """nginx, with its buffering of requests on (its default) or off."""
    address = f"127.0.0.1:{free_port()}"
    folder = processes.folder / address.replace(":", "-")
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, address=address, backend=backend, buffering="on" if is_buffering else "off"))
    processes.start(f"nginx {address}", [program("nginx"), "-e", str(folder / "error.log"), "-c", str(config)])
    return address


async def _upload(address: str, size: int, rate: int, seen: Seen, started: asyncio.Semaphore) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nX-Custom: a\r\nContent-Length: %d\r\n\r\n" % size)
        left, step = size, int(rate * STEP_S)
        started.release()
        while left > 0:
            writer.write(b"x" * min(step, left))
            left -= step
            await writer.drain()
            await asyncio.sleep(STEP_S)
        if (await reader.readline()).split()[1:2] == [b"200"]:
            seen.uploaded += 1
    finally:
        writer.close()


async def _ask(address: str, seen: Seen) -> None:
    seen.asked += 1
    began = time.monotonic()
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(GET_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                if (await reader.readline()).split()[1:2] == [b"200"]:
                    seen.waits_s.append(time.monotonic() - began)
            finally:
                writer.close()


async def slow_uploads(address: str, *, clients: int, size: int, rate: int, gets: int, every_s: float, limit_s: float) -> Seen:
    """`clients` upload `size` bytes at `rate` a second, while small pages are asked for. Ends after `limit_s` at the latest."""
    seen = Seen(uploads=clients)
    started = asyncio.Semaphore(0)
    uploads = [asyncio.create_task(_upload(address, size, rate, seen, started)) for _ in range(clients)]
    deadline = time.monotonic() + limit_s
    for _ in uploads:
        await started.acquire()
    await asyncio.sleep(3 * STEP_S)
    asking = []
    for _ in range(gets):
        asking.append(asyncio.create_task(_ask(address, seen)))
        await asyncio.sleep(every_s)
    await asyncio.gather(*asking)
    await asyncio.wait(uploads, timeout=max(0.1, deadline - time.monotonic()))
    for upload in uploads:
        upload.cancel()
    await asyncio.gather(*uploads, return_exceptions=True)
    return seen
