"""Blocks of fields between nghttp2 and Balance, both ways, on one connection with tables of several sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest
from h2_site import Front, run, start_nghttpd
from instance_process import until
from recording_server import RecordingServer
from server_processes import ServerProcesses, program

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

SPARSE = "ab0-_.~ !#$%&'()*+,/:;<=>?@[]^{|}\""  # some have long words in Huffman's code
SAID = re.compile(r"(x-echo-[a-z0-9]+): (.*)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def made(seed: int) -> list[tuple[str, str]]:
    random = Random(seed)
    return [
        (f"x-echo-{number}", ("v" + "".join(random.choices(SPARSE, k=random.choice((1, 5, 60, 400))))).strip())
        for number in range(random.randrange(5, 40))
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as made:
        yield made


@pytest.fixture(scope="module")
def front(processes: ServerProcesses, server: RecordingServer) -> Iterator[Front]:
    made = Front(processes.folder, {"recording": server.address})
    yield made
    made.close()


@pytest.mark.parametrize("table_bytes", [0, 100, 4096, 65_536])
def test_what_nghttp_says_is_read_and_what_it_is_told_it_reads(front: Front, server: RecordingServer, table_bytes: int) -> None:
    fields = made(table_bytes)
    words = [f"-H{name}: {value}" for name, value in fields]
    sizes = [f"--header-table-size={table_bytes}", f"--encoder-header-table-size={table_bytes}"]
    server.requests.clear()
    targets = [f"{front.plain}/{number}" for number in range(30)]
    said = COLOUR.sub("", run(program("nghttp"), "--verbose", "--null-out", *sizes, *words, *targets).decode())
    assert len(server.requests) == 30
    for seen in server.requests:
        assert [(name.decode(), value.decode()) for name, value in seen.fields if name.startswith(b"x-echo")] == fields
    received = [match.groups() for line in said.splitlines() if "recv (stream" in line and (match := SAID.search(line))]
    assert len(received) == 30 * len(fields)
    assert set(received) == set(fields)


def test_what_is_said_to_nghttpd_it_reads(processes: ServerProcesses) -> None:
    address = start_nghttpd(processes)
    processes.wait_for({"nghttpd": address})
    front = Front(processes.folder, {"nghttpd": address}, "h2c")
    fields = made(1)
    try:
        words = [f"-H{name}: {value}" for name, value in fields]
        run(program("nghttp"), "--null-out", *words, *[f"{front.plain}/hello?{number}" for number in range(20)])
        log = processes.folder / "nghttpd.log"

        def received() -> list[tuple[str, ...]]:
            lines = COLOUR.sub("", log.read_text()).splitlines()
            return [match.groups() for line in lines if "recv (stream" in line and (match := SAID.search(line))]

        until(lambda: len(received()) >= 20 * len(fields), lambda: log.read_text()[-2000:])
        assert set(received()) == set(fields)
    finally:
        front.close()
