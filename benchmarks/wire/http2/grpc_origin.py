"""What stands behind every proxy in the rows of gRPC: nghttpd, the cheapest that speaks HTTP/2 (12 us a call, nginx 20).

It reads the message and answers with one of its own, from a file, and `grpc-status` in trailers. Unlike a server of gRPC it
says `content-length`.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wire.child import Child, free_port
from wire.http2.connection import ask_once
from wire.origin import READY_S, SMALL_BYTES
from wire.scenarios import GRPC_PATH, GRPC_REPLY_BYTES, Scenario


def missing() -> str | None:
    return None if shutil.which("nghttpd") else "nghttpd is not installed: apt-get install nghttp2-server"


@contextlib.contextmanager
def grpc_origin(row: Scenario, parent: Path, core: int) -> Iterator[int]:
    """Its port, while it runs."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder, port = Path(name), free_port()
        served = folder / "served"
        method = served / GRPC_PATH.removeprefix("/")
        method.parent.mkdir(parents=True)
        message = b"r" * (GRPC_REPLY_BYTES - 5)
        method.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        (served / "1k").write_bytes(b"x" * SMALL_BYTES)  # what health checks ask for
        types = folder / "types"
        types.write_text(f"application/grpc {method.suffix.removeprefix('.')}\n")
        command = ["nghttpd", "--no-tls", "-d", str(served), "--trailer=grpc-status: 0", f"--mime-types-file={types}"]
        child = Child("grpc-origin", [*command, "-a", "127.0.0.1", str(port)], folder, core)
        try:
            child.wait_until_right(partial(ask_once, row, port), READY_S)
            yield port
        finally:
            child.stop()
