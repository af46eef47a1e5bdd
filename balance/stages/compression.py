"""Compresses replies: which ones, with what, and how their heads change.

Vary: Accept-Encoding goes on every reply that some client would get compressed, so that shared caches keep them apart. A reply
to HEAD gets no more than that. Our own error pages, redirects and fixed responses are left alone: they are small.
"""

from __future__ import annotations

from typing import Final

from balance.compression.accept_encoding import IDENTITY, negotiate
from balance.compression.eligibility import is_eligible, is_no_transform, may_change_stored
from balance.compression.encoders import StreamEncoder, encoder_factory, memory_of
from balance.compression.if_none_match import TagForms, only_weak
from balance.compression.media_types import MediaTypes
from balance.compression.reply_fields import compressed, entity_tag, weakened, with_vary
from balance.compression.stream_memory import WORKER, StreamMemory
from balance.config.route_model import Compression, RouteConfig
from balance.http1.framing import NO_BODY
from balance.model import Counted
from balance.stages.environment import Count, StageEnvironment, count_nothing
from balance.stages.request_context import RequestContext
from balance.stages.stage import ReplyHead, Stage

_CACHE_SIZE: Final = 16  # heads: within a second many are identical
_CACHE_MAX_BYTES: Final = 2048
_NOT_MODIFIED: Final = 304


def compression_stage(route: RouteConfig, environment: StageEnvironment) -> Stage | None:
    """The stage of a route, where it compresses."""
    return CompressionStage(route.compression, count=environment.count) if route.compression.enabled else None


class _Plan:
    """What becomes of a reply with a certain head."""

    __slots__ = ("compressed", "is_eligible", "lines")

    def __init__(self, lines: bytes, is_eligible: bool) -> None:
        self.is_eligible = is_eligible
        self.lines = with_vary(lines) if is_eligible else lines  # as it goes on uncompressed
        self.compressed: dict[bytes, bytes] = {}  # the lines by coding


class _Maker:
    """Makes encoders of one algorithm while there is memory for them."""

    __slots__ = ("_count", "_factory", "_memory", "_size")

    def __init__(self, algorithm: str, level: int, memory: StreamMemory, count: Count) -> None:
        self._count = count
        self._factory = encoder_factory(algorithm, level)
        self._size = memory_of(algorithm, level)
        self._memory = memory

    def make(self) -> _CountedEncoder | None:
        if self._memory.take(self._size):
            return _CountedEncoder(self._factory(), self._memory, self._size, self._count)
        self._count(Counted.COMPRESSION_SKIPPED, 1)
        return None


class _CountedEncoder:
    """Counts bytes before and after, and gives its memory back when it is closed."""

    __slots__ = ("_bytes_in", "_bytes_out", "_count", "_encoder", "_memory", "_size")

    def __init__(self, encoder: StreamEncoder, memory: StreamMemory, size: int, count: Count) -> None:
        self._encoder: StreamEncoder | None = encoder
        self._memory = memory
        self._size = size
        self._count = count
        self._bytes_in = self._bytes_out = 0

    def encode(self, data: bytes) -> bytes:
        if self._encoder is None:
            return b""
        out = self._encoder.encode(data)
        self._bytes_in += len(data)
        self._bytes_out += len(out)
        return out

    def flush(self) -> bytes:
        out = b"" if self._encoder is None else self._encoder.flush()
        self._bytes_out += len(out)
        return out

    def finish(self) -> bytes:
        out = b"" if self._encoder is None else self._encoder.finish()
        self._bytes_out += len(out)
        return out

    def close(self) -> None:
        self._memory.give_back(self._size)
        self._encoder = None
        self._count(Counted.COMPRESSED, 1)
        self._count(Counted.COMPRESSION_IN, self._bytes_in)
        self._count(Counted.COMPRESSION_OUT, self._bytes_out)


class CompressionStage(Stage):
    """Compression on one route."""

    __slots__ = ("_makers", "_min_size", "_plans", "_preference", "_tags", "_types")

    def __init__(self, config: Compression, memory: StreamMemory = WORKER, count: Count = count_nothing) -> None:
        self._makers = {name.encode(): _Maker(name, config.level, memory, count) for name in config.algorithms}
        self._preference = tuple(self._makers)
        self._types = MediaTypes(config.types)
        self._min_size = config.min_size_bytes
        self._plans: dict[bytes, _Plan] = {}
        self._tags = TagForms()

    def on_request(self, context: RequestContext) -> None:
        tags = self._tags
        if tags.are_strong and context.headers(b"if-none-match"):
            context.forward = tags.restore(context.forward)

    def is_settled(self, context: RequestContext) -> bool:
        """Whether no tag can have to be restored, now or later."""
        return not context.headers(b"if-none-match")

    def on_reply(self, context: RequestContext, reply: ReplyHead) -> None:
        if reply.is_own:
            return
        if reply.status == _NOT_MODIFIED:
            self._on_not_modified(context, reply)
            return
        plan = self._plan(reply)
        if not plan.is_eligible:
            return
        if context.method == b"HEAD":
            reply.lines = plan.lines
            return
        if reply.framing is NO_BODY:  # empty, where `min_size` is 0
            return
        coding = self._coding(context)
        encoder = None if coding == IDENTITY else self._makers[coding].make()
        if encoder is None:
            reply.lines = plan.lines
            return
        lines = plan.compressed.get(coding)
        if lines is None:
            self._tags.seen(entity_tag(reply.lines))
            lines = plan.compressed[coding] = compressed(reply.lines, coding)
        reply.lines = lines
        reply.encoder = encoder

    def is_same_for_all(self, lines: bytes) -> bool:
        """Whether nothing is done to a reply with this head; a 304 goes by the request's tags."""
        plan = self._plans.get(lines)
        return plan is not None and not plan.is_eligible

    def _plan(self, reply: ReplyHead) -> _Plan:
        lines = reply.lines
        plan = self._plans.get(lines)
        if plan is None:
            plan = _Plan(lines, is_eligible(reply.status, lines, self._types, self._min_size))
            if len(lines) <= _CACHE_MAX_BYTES:
                if len(self._plans) >= _CACHE_SIZE:
                    self._plans.clear()
                self._plans[lines] = plan
        return plan

    def _coding(self, context: RequestContext) -> bytes:
        """What the client gets; found out once for each block of identical field lines."""
        cache = context.fields.cache
        if cache is None:
            cache = context.fields.cache = {}
        coding = cache.get(self)
        if coding is None:
            view = context
            if is_no_transform(b",".join(view.headers(b"cache-control")).lower()):  # RFC 9111 section 5.2.1.6
                coding = IDENTITY
            else:
                coding = negotiate(view.headers(b"accept-encoding"), self._preference)
            cache[self] = coding
        return coding

    def _on_not_modified(self, context: RequestContext, reply: ReplyHead) -> None:
        """A 304 updates what is stored, so it has the fields that the stored reply has (RFC 9110 section 15.4.5).

        Its Vary would replace the stored one, and its strong tag would not match what was weakened (RFC 9111 section 4.3.4).
        """
        lines = reply.lines
        if not may_change_stored(lines, self._types):
            return
        tag = entity_tag(lines)
        self._tags.seen(tag)
        if tag and only_weak(context.headers(b"if-none-match"), tag):
            lines = weakened(lines)
        reply.lines = with_vary(lines)
