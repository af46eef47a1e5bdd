"""A server of grpcio whose methods do what a proxy may get wrong: `calls_server.py PORT NAME [CERTIFICATE KEY]`."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

NAME = sys.argv[2].encode()
CODES = {code.value[0]: code for code in grpc.StatusCode}
NO_LIMIT = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
]
counts = {b"cancelled": 0, b"failed": 0}


def echo(request: bytes, context: Any) -> bytes:
    return request


def name(request: bytes, context: Any) -> bytes:
    return NAME


def fail(request: bytes, context: Any) -> bytes:
    """With that status, and fields behind it; in trailers only."""
    context.set_trailing_metadata((("x-last", "word"), ("x-bytes-bin", b"\x00\xff")))
    context.abort(CODES[int(request)], "größer als 100 %\n")
    return b""


def fail_late(request: bytes, context: Any) -> Iterator[bytes]:
    yield b"one"
    yield b"two"
    context.abort(CODES[int(request)], "after two")


def fail_once(request: bytes, context: Any) -> bytes:
    """The first try of a call fails, at whichever server."""
    tries = dict(context.invocation_metadata()).get("grpc-previous-rpc-attempts", "0")
    if tries == "0":
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
    return NAME + b" " + str(tries).encode()


def count(request: bytes, context: Any) -> Iterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


def total(requests: Iterator[bytes], context: Any) -> bytes:
    return b"%d" % sum(len(request) for request in requests)


def fail_early(requests: Iterator[bytes], context: Any) -> bytes:
    """With the status that the first message asks for, without waiting for another."""
    context.abort(CODES[int(next(requests))], "enough")
    return b""


def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for request in requests:
        yield NAME + b" " + request


def wait(request: bytes, context: Any) -> Iterator[bytes]:
    """Until the call is cancelled."""
    over = threading.Event()

    def ended() -> None:
        counts[b"cancelled"] += 1
        over.set()

    context.add_callback(ended)
    yield b"waiting"
    over.wait(30)


def silent(request: bytes, context: Any) -> bytes:
    time.sleep(float(request))
    return b"late"


def counted(request: bytes, context: Any) -> bytes:
    return b"%d" % counts[request]


def left(request: bytes, context: Any) -> bytes:
    return b"%f" % context.time_remaining()


def fields(request: bytes, context: Any) -> bytes:
    given = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
    context.send_initial_metadata(given)
    context.set_trailing_metadata([each for each in given if each[0] != "x-large"])  # libraries take 8 KB by default
    return b""


def health(request: bytes, context: Any) -> bytes:
    return b"\x08\x01"


UNARY = (echo, name, fail, fail_once, silent, counted, left, fields)
METHODS = {each.__name__: grpc.unary_unary_rpc_method_handler(each) for each in UNARY}
METHODS |= {each.__name__: grpc.unary_stream_rpc_method_handler(each) for each in (fail_late, count, wait)}
METHODS |= {"fail_early": grpc.stream_unary_rpc_method_handler(fail_early)}
METHODS |= {"total": grpc.stream_unary_rpc_method_handler(total), "chat": grpc.stream_stream_rpc_method_handler(chat)}


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(32), options=[*NO_LIMIT, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("t.T", METHODS),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(health)}),
    ))  # fmt: skip
    address = f"127.0.0.1:{sys.argv[1]}"
    if len(sys.argv) > 3:
        certificate, key = (Path(path).read_bytes() for path in sys.argv[3:5])
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    over.wait()
    server.stop(grace=5).wait()


main()
