"""Fields that only trusted proxies may set."""

from __future__ import annotations

import pytest

from balance.config.model import HttpConfig
from balance.http1.request import RequestReader
from balance.stages.request_context import RequestContext
from balance.stages.trusted_field import TrustedField

READER = RequestReader(HttpConfig())


def request(fields: bytes, *, is_trusted: bool) -> RequestContext:
    context = RequestContext()
    context.fields = READER.read(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n").fields
    context.forward = context.fields.forward
    context.is_trusted = is_trusted
    return context


@pytest.mark.parametrize(
    ("name", "fields", "left"),
    [
        (b"x-region", b"X-Region: eu\r\nX-A: 1\r\n", b"X-A: 1\r\n"),
        (b"x-region", b"x-rEGION:eu\r\nX-A: 1\r\nX-Region: us\r\nX-Region:\r\n", b"X-A: 1\r\n"),
        (b"x-region", b"X-Regions: eu\r\nX-A: X-Region: eu\r\n", b"X-Regions: eu\r\nX-A: X-Region: eu\r\n"),
        (b"x-region", b"", b""),
        (b"host", b"X-A: 1\r\n", b"X-A: 1\r\n"),
        (b"cookie", b"Cookie: a=1\r\n", b"Cookie: a=1\r\n"),
        (b"user-agent", b"User-Agent: tester\r\n", b"User-Agent: tester\r\n"),
    ],
)
def test_what_is_not_believed_does_not_go_on(name: bytes, fields: bytes, left: bytes) -> None:
    field, context = TrustedField(name), request(fields, is_trusted=False)
    field.remove_unbelieved(context)
    assert field.believed(context) is None
    assert context.forward == b"Host: a\r\n" + left
    trusted = request(fields, is_trusted=True)
    field.remove_unbelieved(trusted)
    assert trusted.forward == b"Host: a\r\n" + fields
    assert field.believed(trusted) == trusted.header(name)
