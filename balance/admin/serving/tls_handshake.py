"""The TLS of the admin port: its context, made anew when certificates or settings have changed, and each handshake's end."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import ssl
from collections.abc import Callable
from typing import Any, cast

from balance.config.model import AdminTls
from balance.tls.distinguished_name import name_text
from balance.tls.pem_loading import TlsError
from balance.tls.policy import server_context
from balance.tls.x509 import parse_certificate

log = logging.getLogger("balance.admin")


class TlsSource:
    """The context for who connects next. What was asked for and can't be had is no connection, never plain text."""

    def __init__(self, settings: Callable[[], AdminTls]) -> None:
        self._settings = settings
        self._made_of: AdminTls | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | None:
        """None: plain HTTP is spoken. ConnectionError when there is no context."""
        settings = self._settings()
        if not settings.enabled:
            return None
        if settings != self._made_of:
            self._made_of = settings
            try:
                self._context = context_of(settings)
            except TlsError as error:  # the loader has tried it
                log.error("admin.tls: %s", error)
        if self._context is None:
            raise ConnectionError("there is no certificate to serve")
        return self._context


def context_of(tls: AdminTls) -> ssl.SSLContext:
    """TlsError when OpenSSL does not take a file or a setting."""
    context = server_context(tls.policy)
    context.sslobject_class = _HandshakeObject
    return context


class _HandshakeObject(ssl.SSLObject):
    """Sends the alert of a handshake that failed: uvloop drops it, and the client would not learn why."""

    send_alert: Callable[[], None]

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self.send_alert()
            raise


class TlsHandshake:
    """Passes for an SSLContext, for one connection."""

    __slots__ = ("_context", "_fd")

    __class__ = ssl.SSLContext  # type: ignore[assignment]  # uvloop and asyncio ask isinstance()

    def __init__(self, context: ssl.SSLContext, fd: int) -> None:
        self._context = context
        self._fd = fd

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: Any) -> ssl.SSLObject:
        made = cast(_HandshakeObject, self._context.wrap_bio(incoming, outgoing, server_side=True))
        fd = self._fd

        def send_alert() -> None:
            with contextlib.suppress(OSError):
                os.write(fd, outgoing.read())

        made.send_alert = send_alert
        return made


def subject_of(ssl_object: ssl.SSLObject | None) -> str:
    """The subject of the client's certificate, which was verified, as RFC 4514 writes it; "" without one."""
    der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    if der is None:
        return ""
    try:
        return name_text(parse_certificate(der).subject)
    except (ValueError, IndexError):  # what OpenSSL can read and we can't is told by its fingerprint
        return f"SHA-256 {hashlib.sha256(der).hexdigest()}"
