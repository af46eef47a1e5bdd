"""The load generator of HTTP/2, and of the HTTP/1 that is compared with it: one h2load on its own CPU."""

import re
import shutil
import subprocess
from pathlib import Path

from wire.http2.messages import AUTHORITY, body, fields
from wire.load import Figures, LoadFailedError, output_of
from wire.scenarios import Scenario

REQUESTS = re.compile(
    r"^requests: .*?(\d+) started, (\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$", re.MULTILINE
)
STATUSES = re.compile(r"^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", re.MULTILINE)
TRAFFIC = re.compile(r"^traffic: \S+ \((\d+)\) total", re.MULTILINE)
PROTOCOL = re.compile(r"^Application protocol: (\S+)$", re.MULTILINE)


def missing() -> str | None:
    return None if shutil.which("h2load") else "h2load is not installed: apt-get install nghttp2-client"


def version() -> str:
    said = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=False).stdout
    return said.strip().rpartition("/")[2]


def protocol(row: Scenario) -> str:
    """As ALPN calls it; without TLS HTTP/2 begins by prior knowledge."""
    if not row.http2:
        return "http/1.1"
    return "h2" if row.tls else "h2c"


def command(row: Scenario, port: int, seconds: float, folder: Path) -> list[str]:
    words = ["h2load", "-t1", f"-c{row.connections}", f"-m{row.streams}", f"-D{seconds * 1000:.0f}ms"]
    words += [f"--npn-list={protocol(row)}" if row.tls else f"--no-tls-proto={protocol(row)}"]
    words += [f"--log-file={folder / 'h2load.log'}"]
    if row.http2:  # over HTTP/1 it would be a second Host
        words += ["-H", f":authority: {AUTHORITY}"]
    for name, value in fields(row):
        words += ["-H", f"{name}: {value}"]
    if sent := body(row):
        path = folder / "h2load.body"
        path.write_bytes(sent)
        words += ["-d", str(path)]
    return [*words, f"{'https' if row.tls else 'http'}://127.0.0.1:{port}{row.path}"]


def parse(output: str, log: str, wanted: str, in_flight: int) -> Figures:
    """`log` has a line for each request: when it began in us, its status, how long it took in us. `in_flight` requests at most
    are without an answer when the time is over.
    """
    requests, statuses, traffic = REQUESTS.search(output), STATUSES.search(output), TRAFFIC.search(output)
    if not (requests and statuses and traffic):
        raise LoadFailedError(f"h2load printed no figures:\n{output[-2000:]}")
    spoken = set(PROTOCOL.findall(output))
    if spoken and spoken != {wanted}:
        raise LoadFailedError(f"h2load spoke {', '.join(sorted(spoken))}, not {wanted}")
    started, done, failed, errored, timeout = map(int, requests.groups())
    failures = {"failed": failed, "socket": errored, "timeout": timeout, "status": sum(map(int, statuses.groups()))}
    if (lost := started - done - failed) > in_flight:
        failures["lost"] = lost - in_flight
    begun, took = [], []
    for line in log.splitlines():
        began_us, _, took_us = line.split("\t")
        begun.append(int(began_us))
        took.append(int(took_us))
    took_sorted = sorted(took)
    return Figures(
        requests=done,
        elapsed_s=(max(map(int.__add__, begun, took)) - min(begun)) / 1e6 if begun else 1.0,
        read_bytes=int(traffic[1]),
        failures={kind: count for kind, count in failures.items() if count},
        p50_us=_percentile(took_sorted, 50),
        p99_us=_percentile(took_sorted, 99),
        mean_us=sum(took) / max(1, len(took)),
    )


def _percentile(ordered: list[int], percent: int) -> float:
    return float(ordered[(len(ordered) - 1) * percent // 100]) if ordered else 0.0


def run(row: Scenario, port: int, seconds: float, core: int, folder: Path) -> Figures:
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    output = output_of(command(row, port, seconds, folder), seconds, core)
    said = log.read_text() if log.exists() else ""
    return parse(output, said, protocol(row), row.connections * row.streams)
