"""One reply of a proxy, read whole by `nghttp`: h2load takes any 200 for a success, of gRPC too."""

import re
import subprocess
from pathlib import Path

from wire.http2.messages import all_fields, body
from wire.scenarios import Scenario

FIELD = re.compile(r"recv \(stream_id=\d+(?:, \w+)?\) ([^ ]+): (.*)")
CONTENT = re.compile(r"recv DATA frame <length=(\d+),")
TIMEOUT_S = 10


def wrong(row: Scenario, output: str) -> str | None:
    """What `nghttp --verbose` says of a reply that is not as the row wants it, or None."""
    fields = dict(FIELD.findall(output))
    if (status := fields.get(":status")) != "200":
        return f"{row.path}: status {status}, not 200"
    if row.grpc and (status := fields.get("grpc-status")) != "0":
        return f"{row.path}: grpc-status {status}, not 0"
    size = sum(map(int, CONTENT.findall(output)))
    return None if size == row.body_bytes else f"{row.path}: {size} bytes, not {row.body_bytes}"


def wrong_answer(row: Scenario, port: int, folder: Path) -> str | None:
    """Of one request on a connection of its own."""
    words = ["nghttp", "--verbose", "--null-out", "--no-verify-peer", "--no-dep", "-w30", "-W30", f"--timeout={TIMEOUT_S}"]
    for name, value in all_fields(row):
        words += [] if name in (":method", ":scheme", ":path") else ["-H", f"{name}: {value}"]
    if sent := body(row):
        path = folder / "nghttp.body"
        path.write_bytes(sent)
        words += ["-d", str(path)]
    words.append(f"{'https' if row.tls else 'http'}://127.0.0.1:{port}{row.path}")
    said = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, timeout=2 * TIMEOUT_S)
    return wrong(row, said.stdout)
