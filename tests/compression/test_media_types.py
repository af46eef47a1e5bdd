"""Which types are compressed."""

from __future__ import annotations

import pytest

from balance.compression.media_types import MediaTypes
from balance.config.route_model import Compression

DEFAULTS = Compression().types

CASES: list[tuple[tuple[str, ...], bytes, bool]] = [
    (DEFAULTS, b"text/html", True),
    (DEFAULTS, b"Text/HTML; charset=utf-8", True),
    (DEFAULTS, b"text/html;charset=utf-8", True),
    (DEFAULTS, b"application/json", True),
    (DEFAULTS, b"application/problem+json", True),
    (DEFAULTS, b"image/svg+xml ", True),
    (DEFAULTS, b"application/jsonp", False),
    (DEFAULTS, b"image/png", False),
    (DEFAULTS, b"video/mp4", False),
    (DEFAULTS, b"", False),
    (DEFAULTS, b"text", False),
    (DEFAULTS, b"x-text/html", False),
    (DEFAULTS, b"text/event-stream", False),  # not by a pattern
    (DEFAULTS, b"text/event-stream; charset=utf-8", False),
    (("*/*",), b"text/event-stream", False),
    (("*",), b"image/png", True),
    (("text/event-stream",), b"text/event-stream;charset=utf-8", True),
    (("TEXT/*",), b"text/css", True),
    (("application/*+json",), b"application/+json", True),
    (("application/*json*",), b"application/x-json-seq", True),
    (("a/*b*b",), b"a/b", False),  # pieces do not overlap
    (("a/*b*b",), b"a/bb", True),
    (("text/plain",), b"text/plain; x=text/html", True),
    (("text/html",), b"text/plain; x=text/html", False),
]


@pytest.mark.parametrize(("types", "content_type", "expected"), CASES)
def test_a_type_or_a_pattern_matches(types: tuple[str, ...], content_type: bytes, expected: bool) -> None:
    media_types = MediaTypes(types)
    assert media_types.has(content_type) is expected
    assert media_types.has(content_type) is expected  # from the cache


def test_what_is_remembered_is_bounded() -> None:
    media_types = MediaTypes(DEFAULTS)
    for number in range(1000):
        assert media_types.has(b"text/x-%d" % number)
        assert not media_types.has(b"x" * number)
    assert len(media_types._cache) <= 64
