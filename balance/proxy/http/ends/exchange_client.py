"""The client of an exchange: a connection of HTTP/1, or a stream of HTTP/2."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from balance.log_lines.access_record import AccessValues
from balance.proxy.http.ends.connected_client import ConnectedClient
from balance.proxy.http.ends.message_writer import MessageWriter
from balance.proxy.listener_settings import ListenerSettings
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.upstream import Upstream


class ExchangeClient(ConnectedClient):
    """What an exchange asks of its client. The wheel calls expire() at the deadline."""

    __slots__ = ("is_write_paused", "settings", "writer")

    # Set by who inherits: calls at the start of a connection count, and an __init__() here would be one more.
    settings: ListenerSettings
    is_write_paused: bool
    writer: MessageWriter  # when there is a transport

    @abstractmethod
    def pause_reading(self) -> None:
        """No more of the request's body can be taken."""

    @abstractmethod
    def resume_reading(self) -> None:
        """More of the request's body can be taken again."""

    @abstractmethod
    def end_reply(self, now: float) -> None:
        """The reply is complete."""

    @abstractmethod
    def await_reading(self, now: float) -> None:
        """The rest of a complete reply is buffered: the next event is that the client reads on."""

    @abstractmethod
    def end_error(self) -> None:
        """An error reply of ours is complete."""

    @abstractmethod
    def break_off(self, *, is_stuck: bool) -> None:
        """End a reply that cannot be completed, so that it does not look complete. `is_stuck`: the client does not read."""

    @abstractmethod
    def claim(self, upstream: Upstream) -> None:
        """Reserve `upstream` for this client: it is authenticated per connection."""

    @abstractmethod
    def own(self, upstream: Upstream) -> None:
        """Reserve `upstream` for this client: its PROXY header names it. Its requests are balanced as others are."""

    @abstractmethod
    def proxy_header(self, version: str) -> bytes:
        """The PROXY header that names this client."""

    @abstractmethod
    def become_tunnel(self, upstream: Upstream, lease: Lease, early: bytes, record: AccessValues | None) -> None:
        """After a 101: hand both ends to a tunnel. `early` are the bytes that came from the backend after its head."""

    @abstractmethod
    def arm(self, now: float, timeout_s: float) -> None:
        """Have expire() called `timeout_s` after `now`, or when the `request` timeout ends, if earlier."""

    @abstractmethod
    def limit_total(self, at: float) -> None:
        """The request's `request` timeout ends at this time, as its route has it. Seconds, monotonic."""

    @abstractmethod
    def has_taken_some(self) -> bool:
        """Whether the client has taken written bytes since the last call; at the first call, whether any are unsent."""

    @abstractmethod
    def own_host(self) -> bytes:
        """Our own address on this connection, in place of a missing Host."""

    @abstractmethod
    def has_left(self) -> bool:
        """Whether the client has closed or reset; also detected while reading is paused."""
