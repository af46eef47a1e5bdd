"""The encoders: what comes out is decoded by others' decoders, whatever the splits."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.compression.encoders import CODINGS, MAX_LEVELS, encoder_factory, level_of

TEXT = b"".join(b'{"id": %d, "name": "user %d"}, ' % (number, number * 7919 % 1000) for number in range(400))


class Decoder:
    """Decodes what it is fed, as browsers do, up to the last byte that can be known."""

    def __init__(self, coding: str) -> None:
        decoder: Any
        if coding == "gzip":
            decoder = zlib.decompressobj(31)
            self.feed: Callable[[bytes], bytes] = decoder.decompress
        elif coding == "br":
            decoder = brotli.Decompressor()
            self.feed = decoder.process
        else:  # RFC 9659: no window above 8 MB
            decoder = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).decompressobj()
            self.feed = decoder.decompress
        self._decoder = decoder

    @property
    def is_done(self) -> bool:
        return bool(self._decoder.is_finished() if hasattr(self._decoder, "is_finished") else self._decoder.eof)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("level", [0, 1, 5, 22])
def test_every_split_is_decoded(coding: str, level: int) -> None:
    text = TEXT[:600]
    factory = encoder_factory(coding, level)
    for split in range(0, len(text) + 1, 1 if not level else 97):
        encoder, decoder = factory(), Decoder(coding)
        out = encoder.encode(text[:split]) + encoder.encode(text[split:]) + encoder.finish()
        assert decoder.feed(out) == text
        assert decoder.is_done


@pytest.mark.parametrize("coding", CODINGS)
@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), max_size=8))
def test_after_a_flush_all_that_went_in_can_be_read(coding: str, pieces: list[bytes]) -> None:
    encoder, decoder = encoder_factory(coding)(), Decoder(coding)
    for piece in pieces:
        assert decoder.feed(encoder.encode(piece) + encoder.flush()) == piece
        assert not decoder.is_done  # a reply that is broken off here does not look complete
    assert decoder.feed(encoder.finish()) == b""
    assert decoder.is_done


@pytest.mark.parametrize("coding", CODINGS)
def test_streams_beside_each_other_do_not_mix(coding: str) -> None:
    factory = encoder_factory(coding)
    streams = [(factory(), Decoder(coding), b"%d " % number * 500) for number in range(5)]
    read = [b""] * 5
    for start in range(0, 1000, 100):
        for number, (encoder, decoder, text) in enumerate(streams):
            read[number] += decoder.feed(encoder.encode(text[start : start + 100]) + encoder.flush())
    for number, (encoder, decoder, text) in enumerate(streams):
        assert read[number] + decoder.feed(encoder.encode(text[1000:]) + encoder.finish()) == text


@pytest.mark.parametrize("coding", CODINGS)
def test_json_gets_smaller_and_levels_count(coding: str) -> None:
    def size(level: int) -> int:
        encoder = encoder_factory(coding, level)()
        return len(encoder.encode(TEXT) + encoder.finish())

    assert size(0) < len(TEXT) / 3
    assert size(MAX_LEVELS[coding]) != size(1)


def test_levels_that_would_hold_the_loop_are_lowered() -> None:
    assert [level_of(coding, 22) for coding in CODINGS] == [9, 6, 7]
    assert [level_of(coding, 1) for coding in CODINGS] == [1, 1, 1]
    assert all(0 < level_of(coding, 0) <= MAX_LEVELS[coding] for coding in CODINGS)


def test_the_window_of_zstd_is_one_that_browsers_take() -> None:
    encoder = encoder_factory("zstd", 22)()
    out = encoder.encode(bytes(range(256)) * 40_000) + encoder.finish()
    assert zstandard.get_frame_parameters(out).window_size <= 8 * 1024 * 1024


def test_packages_are_imported_where_they_are_configured() -> None:
    script = (
        "import sys; from balance.compression.encoders import encoder_factory; from balance.stages import compression;"
        "encoder_factory('gzip')().finish(); assert not {'brotli', 'zstandard'} & set(sys.modules);"
        "encoder_factory('br'); assert 'zstandard' not in sys.modules; encoder_factory('zstd')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
