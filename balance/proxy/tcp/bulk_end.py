"""An end of a session in TCP mode: what it brings in bulk is moved by the kernel (splice(2)), unseen.

A class of its own, so that no other end can be spliced: those of tunnels have RelayEnd's methods, and there are none to do it.
"""

from __future__ import annotations

from balance.proxy.net.polled_transport import AnyTransport, PolledTransport
from balance.proxy.tcp.relay import RelayEnd


class BulkEnd(RelayEnd):
    """Nobody looks at its bytes but the peer."""

    __slots__ = ("_is_bulk",)

    def __init__(self) -> None:
        RelayEnd.__init__(self)
        self._is_bulk = False

    def brings_bulk(self, peer: AnyTransport) -> None:
        """Have the kernel move the bytes, where both connections are plain."""
        source: object = self.transport
        sink: object = peer
        if not self._is_bulk and isinstance(source, PolledTransport) and isinstance(sink, PolledTransport):
            source.splice_into(sink, self)
        self._is_bulk = True

    def spliced(self, size: int) -> None:
        """The kernel has moved so many bytes to the peer."""
        self.bytes_received += size
