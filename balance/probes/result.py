"""The result of a health check, and messages for connection errors."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.tls.backend_failure import failure_of
from balance.tls.pem_loading import TlsError


class Result(NamedTuple):
    """One result. `reason` is for logs and the status page, also when it passed."""

    is_ok: bool
    reason: str
    duration_s: float
    is_explicit: bool = False  # failed by a response or refusal, not by a timeout
    at: float = 0.0  # when it ended, seconds since the epoch


# One check of one backend; ends within check.timeout_s.
Probe = Callable[[HealthCheck, BackendConfig], Awaitable[Result]]

_REASONS = {
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

# Errors that come from the backend's host; others may be the network's or our own.
_EXPLICIT = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT))


def seconds(value: float) -> str:
    """A duration as text: 3s, 0.5s."""
    return f"{value:g}s"


def failure_reason(error: OSError, address: Address, timeout_s: float) -> str:
    """The reason for an exception, TimeoutError included."""
    if isinstance(error, socket.gaierror):
        return f"the name {address.host!r} does not resolve"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"no answer within {seconds(timeout_s)}"
    if isinstance(error, ssl.SSLError):
        return failure_of(error)[1]
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return os.strerror(error.errno).lower() if error.errno else str(error)


def unusable(error: TlsError) -> str:
    """The reason where TLS can't be prepared, as an environment variable is missing here, say."""
    return f"TLS can't be prepared: {error}"


def is_explicit(error: OSError) -> bool:
    """Whether the exception is an explicit failure: a refused connection or a wrong certificate, but no timeout."""
    return isinstance(error, ssl.SSLError) or error.errno in _EXPLICIT
