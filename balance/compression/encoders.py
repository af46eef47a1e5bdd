"""The encoders of content codings: gzip, br (brotli) and zstd. The last two are imported where they are configured.

Levels are limited to those that encode SLICE bytes in about 5 ms: an event loop that encodes is not free for other clients.
Windows are small, so that a stream takes 0.3 MB with gzip and about 1 MB with the others at their default levels.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

SLICE: Final = 32 * 1024  # bytes that are encoded in one turn of the event loop

CODINGS: Final = ("gzip", "br", "zstd")
DEFAULT_LEVELS: Final = {"gzip": 4, "br": 3, "zstd": 3}
# gzip 9 takes 3 ms a slice, br 6 and zstd 7 take 4 ms and 3 MB a stream; br 7 would take 10 ms, br 11 0.6 s.
MAX_LEVELS: Final = {"gzip": 9, "br": 6, "zstd": 7}
# Bytes that a stream takes at most, at the default level and above it.
_MEMORY: Final = {"gzip": (300_000, 300_000), "br": (1_250_000, 3_300_000), "zstd": (1_250_000, 3_300_000)}
# log2 of the window. Browsers need to accept no more than 8 MB of zstd's (2 to the 23rd, RFC 9659). Larger ones take memory.
BROTLI_WINDOW: Final = 18
ZSTD_WINDOW: Final = 18
_ZSTD_TABLES_FOR: Final = 128 * 1024  # bytes; as large as zstd makes its tables for content of this size

_GZIP_WINDOW: Final = 16 + 15  # 16: with gzip's header and trailer
_GZIP_MEMORY: Final = 8


class StreamEncoder(Protocol):
    """As balance.stages.stage.Encoder, without its close()."""

    def encode(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...

    def finish(self) -> bytes: ...


EncoderFactory = Callable[[], StreamEncoder]  # one for each reply


def level_of(algorithm: str, level: int) -> int:
    """The level that is used: 0 is the algorithm's default, one that is too slow the highest that is not."""
    return min(level, MAX_LEVELS[algorithm]) if level > 0 else DEFAULT_LEVELS[algorithm]


def memory_of(algorithm: str, level: int) -> int:
    """Bytes that one stream takes at most."""
    return _MEMORY[algorithm][level_of(algorithm, level) > DEFAULT_LEVELS[algorithm]]


def encoder_factory(algorithm: str, level: int = 0) -> EncoderFactory:
    """Makes encoders of one algorithm. ImportError when its package is not installed."""
    level = level_of(algorithm, level)
    if algorithm == "gzip":
        return lambda: GzipEncoder(level)
    if algorithm == "br":
        return _brotli_factory(level)
    return _zstd_factory(level)


class GzipEncoder:
    """RFC 1952."""

    __slots__ = ("_compressor", "encode")

    def __init__(self, level: int) -> None:
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW, _GZIP_MEMORY)
        self.encode: Callable[[bytes], bytes] = self._compressor.compress

    def flush(self) -> bytes:
        """What is kept, up to a byte border."""
        return self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """The last bytes."""
        return self._compressor.flush()


def _brotli_factory(level: int) -> EncoderFactory:
    import brotli

    return lambda: BrotliEncoder(brotli.Compressor(quality=level, lgwin=BROTLI_WINDOW))


class BrotliEncoder:
    """RFC 7932."""

    __slots__ = ("encode", "finish", "flush")

    def __init__(self, compressor: Any) -> None:
        self.encode: Callable[[bytes], bytes] = compressor.process
        self.flush: Callable[[], bytes] = compressor.flush
        self.finish: Callable[[], bytes] = compressor.finish


def _zstd_factory(level: int) -> EncoderFactory:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=ZSTD_WINDOW, source_size=_ZSTD_TABLES_FOR, write_content_size=False
    )
    # A compressor has one context and so one stream at a time; it is not shared between replies.
    return lambda: ZstdEncoder(
        zstandard.ZstdCompressor(compression_params=parameters).compressobj(),
        zstandard.COMPRESSOBJ_FLUSH_BLOCK,
        zstandard.COMPRESSOBJ_FLUSH_FINISH,
    )


class ZstdEncoder:
    """RFC 8878."""

    __slots__ = ("_compressor", "_finish", "_flush", "encode")

    def __init__(self, compressor: Any, flush: int, finish: int) -> None:
        self._compressor = compressor
        self._flush = flush
        self._finish = finish
        self.encode: Callable[[bytes], bytes] = compressor.compress

    def flush(self) -> bytes:
        """What is kept, as a block."""
        flushed: bytes = self._compressor.flush(self._flush)
        return flushed

    def finish(self) -> bytes:
        """The last bytes."""
        last: bytes = self._compressor.flush(self._finish)
        return last
