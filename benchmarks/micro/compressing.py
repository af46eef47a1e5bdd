"""What compression costs a reply: 20 KB of JSON by each algorithm, a slice that holds the event loop, a reply left alone."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator

from balance.compression.encoders import CODINGS, DEFAULT_LEVELS, MAX_LEVELS, SLICE, encoder_factory
from balance.compression.stream_memory import StreamMemory
from balance.config.route_model import Compression
from balance.http1.framing import BY_LENGTH
from balance.http1.head import RequestFields
from balance.stages.compression import CompressionStage
from balance.stages.request_context import RequestContext
from balance.stages.stage import ReplyHead

HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20480\r\nETag: "%d"\r\nServer: nginx\r\n'
COLOURS = ["red", "green", "blue", "white", "black"]


def some_json(size: int) -> bytes:
    """Rows as an API has them."""
    rows = []
    while sum(map(len, rows)) < size:
        number = random.randrange(10**6)
        row = {"id": len(rows), "name": f"user {number}", "tags": random.sample(COLOURS, 2), "score": random.random()}
        rows.append(json.dumps(row))
    return ("[" + ", ".join(rows))[:size].encode()


def compression() -> Iterator[tuple[str, Callable[[], object]]]:
    stage = CompressionStage(Compression(enabled=True), StreamMemory(1 << 62))
    numbers = itertools.count()

    def reply(accepts: bytes, *, is_new: bool) -> Callable[[], object]:
        context = RequestContext()
        context.method = b"GET"
        context.fields = RequestFields()
        context.fields.forward = context.forward = b"Accept-Encoding: " + accepts + b"\r\n"
        head = HEAD % 0

        def once() -> None:
            stage.on_request(context)
            stage.on_reply(context, ReplyHead(200, HEAD % next(numbers) if is_new else head, BY_LENGTH, 20480))

        return once

    yield "compression, eligible but not accepted, head seen before", reply(b"deflate", is_new=False)
    yield "compression, eligible but not accepted, new head", reply(b"deflate", is_new=True)
    yield "compression, the head and a gzip encoder", reply(b"gzip", is_new=False)
    body, piece = some_json(20480), some_json(SLICE)
    for coding in CODINGS:
        factory = encoder_factory(coding)
        size = len(_encoded(factory, body))
        yield f"compress 20 KB of JSON, {coding} {DEFAULT_LEVELS[coding]} ({size} bytes)", lambda f=factory: _encoded(f, body)
        slowest = encoder_factory(coding, MAX_LEVELS[coding])
        yield f"compress a slice of 32 KB, {coding} {MAX_LEVELS[coding]}", lambda f=slowest: _encoded(f, piece)


def _encoded(factory: Callable[[], object], data: bytes) -> bytes:
    encoder = factory()
    return encoder.encode(data) + encoder.finish()  # type: ignore[attr-defined]
