"""The step before a TLS handshake: waits for the whole ClientHello, which stays in the socket, and chooses the certificate.

Here clients are refused that need no cryptography for it: those that speak another protocol, that send nothing, or no
ClientHello that can be read, and with `strict_sni` those that ask for an unknown name. The time limit began at accept().
"""

from __future__ import annotations

import contextlib
from typing import Final, Protocol

from balance.model import Why
from balance.proxy.net.sockets import other_address
from balance.proxy.preread import Caller, PrereadResult
from balance.proxy.tls.handshake import Chosen, say_refused
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.snapshot import Listener
from balance.tls.client_hello import MAX_STREAM, ClientHelloParser, HelloState
from balance.tls.contexts import ListenerTls

_UNRECOGNIZED_NAME: Final = b"\x15\x03\x01\x00\x02\x02\x70"  # a fatal alert: RFC 6066 section 3
_DECODE_ERROR: Final = b"\x15\x03\x01\x00\x02\x02\x32"  # RFC 8446 section 6.2
_PROTOCOL_VERSION: Final = b"\x15\x03\x01\x00\x02\x02\x46"
_BODY: Final = b"This port speaks TLS: use https.\n"
_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    % (len(_BODY), _BODY)
)
_UPPER: Final = frozenset(range(ord("A"), ord("Z") + 1))


class SniStep:
    """The step of a listener that passes TLS through: the name leads to a pool, and no byte is consumed.

    What can't be read is closed, never taken for a client without a name: that would be a way around the names' own pools.
    """

    __slots__ = ("_listener", "_parser", "_read", "_worker")

    def __init__(self, worker: WorkerContext, listener: Listener) -> None:
        self._worker = worker
        self._listener = listener
        self._parser = ClientHelloParser()
        self._read = 0

    def __call__(self, caller: Caller) -> PrereadResult:
        caller.on_timeout = self.timed_out
        data = caller.peek(MAX_STREAM + 1)
        if data is None:
            self._worker.row.cells[counters.WHY + Why.TLS_ABORTED] += 1
            return PrereadResult.REFUSE
        state = self._parser.feed(data[self._read :] if self._read else data)
        self._read = len(data)
        if state is HelloState.INCOMPLETE:
            return PrereadResult.WAIT
        if state is HelloState.MALFORMED:
            return refuse(self._worker, caller, Why.TLS_PROTOCOL, "no ClientHello that can be read", _DECODE_ERROR)
        names, hello = self._listener.sni, self._parser.hello
        name = hello.server_name if hello is not None else ""
        caller.listener = names.find(name) if names is not None and name else None
        if caller.listener is None and not self._listener.pool.name:
            if hello is None:
                return refuse(self._worker, caller, Why.TLS_NOT_TLS, "another protocol", b"")
            return refuse(self._worker, caller, Why.TLS_UNKNOWN_NAME, name or "no name", _UNRECOGNIZED_NAME)
        return PrereadResult.PASS

    def timed_out(self, caller: Caller) -> None:
        """See Caller.on_timeout."""
        say_timeout(self._worker, caller, self._read)


def refuse(worker: WorkerContext, caller: Caller, why: Why, detail: str, answer: bytes) -> PrereadResult:
    """Count, log and answer a connection that is refused."""
    worker.row.cells[counters.WHY + why] += 1
    say_refused(worker, other_address(caller.address), why, detail)
    if answer:
        with contextlib.suppress(OSError):
            caller.sock.recv(65536)  # a close with unread bytes would be a reset, which may destroy the answer
            caller.sock.send(answer)
    return PrereadResult.REFUSE


def say_timeout(worker: WorkerContext, caller: Caller, count: int) -> None:
    """Count and log a ClientHello that did not come in time; `count` bytes did."""
    worker.row.cells[counters.WHY + Why.TLS_TIMEOUT] += 1
    say_refused(worker, other_address(caller.address), Why.TLS_TIMEOUT, f"{count} bytes came")


class Listening(Protocol):
    """The acceptor of a connection."""

    @property
    def tls(self) -> ListenerTls | None: ...


class HelloStep:
    """A step of `preread`, for one connection.

    What is served when its ClientHello is whole counts: a reload may have come, by which the client is revoked.
    """

    __slots__ = ("_listening", "_parser", "_read", "_worker")

    def __init__(self, worker: WorkerContext, listening: Listening) -> None:
        self._worker = worker
        self._listening = listening
        self._parser = ClientHelloParser()
        self._read = 0

    def __call__(self, caller: Caller) -> PrereadResult:
        caller.on_timeout = self.timed_out
        data = caller.peek(MAX_STREAM + 1)
        if data is None:
            self._worker.row.cells[counters.WHY + Why.TLS_ABORTED] += 1  # a probe of the port, often
            return PrereadResult.REFUSE
        state = self._parser.feed(data[self._read :] if self._read else data)
        self._read = len(data)
        if state is HelloState.INCOMPLETE:
            return PrereadResult.WAIT
        if state is HelloState.NOT_TLS:
            what, answer = ("plain HTTP", _PLAIN_HTTP) if data[0] in _UPPER else ("another protocol", b"")
            return self._refuse(caller, Why.TLS_NOT_TLS, what, answer)
        if state is HelloState.MALFORMED or self._parser.hello is None:
            is_old = data[0] & 0x80
            detail = "SSL 2" if is_old else "no ClientHello that can be read"
            return self._refuse(caller, Why.TLS_PROTOCOL, detail, _PROTOCOL_VERSION if is_old else _DECODE_ERROR)
        hello, tls = self._parser.hello, self._listening.tls
        if tls is None:  # TLS has gone meanwhile
            return PrereadResult.REFUSE
        name = hello.server_name
        context = tls.find(name)
        if context is None:
            return self._refuse(caller, Why.TLS_UNKNOWN_NAME, name or "no name", _UNRECOGNIZED_NAME)
        caller.secured = Chosen(tls, tls.policy_for(hello), context, name)
        return PrereadResult.PASS

    def _refuse(self, caller: Caller, why: Why, detail: str, answer: bytes) -> PrereadResult:
        return refuse(self._worker, caller, why, detail, answer)

    def timed_out(self, caller: Caller) -> None:
        """See Caller.on_timeout."""
        say_timeout(self._worker, caller, self._read)
