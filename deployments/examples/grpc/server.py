"""A gRPC server that says who it is: `python3 server.py --port 9001 --name a`. Needs grpcio, and no generated code.

SIGTERM drains it: calls under way end, and new ones go elsewhere.
"""

import argparse
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse


def handlers(name: bytes) -> list[grpc.GenericRpcHandler]:
    def say(request: bytes, context: grpc.ServicerContext) -> bytes:
        return name + b": " + request

    def watch(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield b"%b: %d" % (name, number)
            time.sleep(0.1)

    def check(request: bytes, context: grpc.ServicerContext) -> bytes:
        return SERVING

    echo = {"Say": grpc.unary_unary_rpc_method_handler(say), "Watch": grpc.unary_stream_rpc_method_handler(watch)}
    health = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    return [
        grpc.method_handlers_generic_handler("demo.Echo", echo),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="server")
    options = parser.parse_args()
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(handlers(options.name.encode()))
    server.add_insecure_port(f"127.0.0.1:{options.port}")
    server.start()
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    leaving.wait()
    server.stop(grace=5).wait()


main()
