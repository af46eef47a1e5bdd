"""Reasons for connection errors of health checks."""

import errno
import socket

import pytest

from balance.model import Address
from balance.probes.result import failure_reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "connection reset"),
        (TimeoutError(), "no answer within 3s"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "connection timed out"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route to the host"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "the name 'app.internal' does not resolve"),
        (OSError(errno.ENOBUFS, "x"), "no buffer space available"),
    ],
)
def test_failures_are_put_into_words(error: OSError, words: str) -> None:
    assert failure_reason(error, Address("app.internal", 80), 3.0) == words
