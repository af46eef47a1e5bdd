"""What every probe is and answers, and how a failure is put into words that a user knows."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address


class Result(NamedTuple):
    """One answer. `reason` says what was seen, good or bad."""

    is_ok: bool
    reason: str
    duration_s: float
    is_explicit: bool = False  # somebody said no, rather than nothing in time


# What a kind of probe is: one question to one backend, answered within check.timeout_s whatever the backend does.
Probe = Callable[[HealthCheck, BackendConfig], Awaitable[Result]]

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.ENOENT: "no such socket file",
    errno.EACCES: "permission denied",
    errno.EMFILE: "no file descriptor left for the probe",
    errno.ENFILE: "no file descriptor left for the probe",
}

# Answers of the backend's machine. Whatever else goes wrong may be the network's fault, or ours.
_EXPLICIT = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT))


def seconds(value: float) -> str:
    """A duration as a user wrote it: 3s, 0.5s."""
    return f"{value:g}s"


def why_failed(error: OSError, address: Address, timeout_s: float) -> str:
    """The words for an exception that a probe met. TimeoutError is an OSError, so one call covers both."""
    if isinstance(error, socket.gaierror):
        return f"the name {address.host!r} does not resolve"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"no answer within {seconds(timeout_s)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if error.errno in _WORDS:
        return _WORDS[error.errno]
    return os.strerror(error.errno).lower() if error.errno else str(error)


def is_explicit(error: OSError) -> bool:
    """Whether the exception is an answer: a refusal, a certificate for somebody else. A timeout is none."""
    return isinstance(error, ssl.SSLError) or error.errno in _EXPLICIT
