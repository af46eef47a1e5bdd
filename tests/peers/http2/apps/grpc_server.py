"""gRPC by grpcio, with methods of each kind whose messages are plain bytes: `python grpc_server.py HOST:PORT`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

cancelled: list[bytes] = []


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.send_initial_metadata((("x-first", "1"),))
    asked = dict(context.invocation_metadata()).get("x-asked-bin", b"")
    context.set_trailing_metadata((("x-last", asked.hex() or "none"),))
    return request


def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.PERMISSION_DENIED, f"no: {request.decode()}, für niemand %")
    raise AssertionError


def wait(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    over = threading.Event()

    def note() -> None:
        cancelled.append(request)
        over.set()

    context.add_callback(note)
    yield b"waiting"
    over.wait(20)


def replies(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    context.set_trailing_metadata((("x-last", "replies"),))
    for number in range(int(request)):
        yield b"%d" % number


def slowly(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number
        time.sleep(0.05)


def requests(found: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    return b"%d" % sum(int(each) for each in found)


def both(found: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    yield from found


def told(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Which calls of Wait have ended."""
    return b",".join(cancelled)


def serve(address: str) -> None:
    server = grpc.server(ThreadPoolExecutor(32))
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Told": grpc.unary_unary_rpc_method_handler(told),
        "Wait": grpc.unary_stream_rpc_method_handler(wait),
        "Replies": grpc.unary_stream_rpc_method_handler(replies),
        "Slowly": grpc.unary_stream_rpc_method_handler(slowly),
        "Requests": grpc.stream_unary_rpc_method_handler(requests),
        "Both": grpc.stream_stream_rpc_method_handler(both),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1])
