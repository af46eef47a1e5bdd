"""gRPC by @grpc/grpc-js before Balance, and grpcio behind it: calls of each kind find what they find without."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from h2_site import Front, grpc_js, start_grpc
from instance_process import until
from server_processes import ServerProcesses

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

FOUND = {
    "unary": {"first": ["1"], "code": 0, "size": 5, "text": "hello", "last": ["00ff01"]},
    "empty": {"first": ["1"], "code": 0, "size": 0, "text": "", "last": ["none"]},
    "large": 3_000_000,
    "error": {"code": 7, "details": "no: nobody may, für niemand %", "last": []},
    "unknown": 12,
    "late": 4,
    "replies": {"texts": ["0", "1", "2", "3", "4"], "code": 0, "last": ["replies"]},
    "requests": "4950",
    "both": {"texts": ["turn 0", "turn 1", "turn 2"], "code": 0, "last": []},
    "cancelled": 1,
}


@pytest.fixture(scope="module")
def server(processes: ServerProcesses) -> Iterator[str]:
    address = start_grpc(processes)
    processes.wait_for({"grpc": address})
    yield address


def test_calls_of_each_kind(server: str, processes: ServerProcesses) -> None:
    assert grpc_js(server) == FOUND
    with grpc.insecure_channel(server) as channel:
        ended = channel.unary_unary("/test.Echo/Told")
        until(lambda: len(ended(b"").split(b",")) == 2, "the ends of both calls without Balance")
        front = Front(processes.folder, {"grpc": server}, "h2c")
        try:
            assert grpc_js(front.address("plain")) == FOUND
            # What its client has cancelled, or what is too late, the server does not work on.
            until(lambda: len(ended(b"").split(b",")) == 4, lambda: f"{ended(b'')!r} have ended")
        finally:
            front.close()
