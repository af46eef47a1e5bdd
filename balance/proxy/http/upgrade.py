"""Handles a 101 (RFC 9110 section 7.8): whether it is valid, and the tunnel that the two connections become."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from balance.http1.head import Request, Response
from balance.log_lines.access_record import AccessValues
from balance.proxy.clients import Clients
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.polled_transport import AnyTransport
from balance.proxy.net.sockets import keep_alive
from balance.proxy.tcp.relay import Relay
from balance.proxy.tunnel.tunnel import Tunnel, TunnelEnd
from balance.proxy.tunnel.websocket import WebSocketEnd, WebSocketRelay
from balance.runtime.lease import Lease


def is_asked_for(request: Request, response: Response) -> bool:
    """Whether the backend switches only to protocols that the client offered."""
    offered = request.fields.upgrade.lower().split(b", ")
    return bool(response.upgrade) and all(protocol in offered for protocol in response.upgrade.lower().split(b", "))


def open_tunnel(
    settings: ListenerSettings,
    request: Request,
    client: AnyTransport,
    upstream: Upstream,
    lease: Lease,
    record: AccessValues | None,
    *,
    clients: Clients | None,
    client_address: str,
    from_client: bytes,
    from_upstream: bytes,
    has_body_left: bool,
    is_paused: bool,
    is_full: bool,
) -> None:
    """Hand both connections to a Relay.

    `from_client` and `from_upstream` are bytes already read from each; `clients` counts the client connection; `record` is the
    access log record of the request; `is_paused`: reading from the client is paused; `is_full`: writing to it is.
    """
    worker, timeouts = settings.worker, settings.timeouts
    keep_alive(upstream.transport.get_extra_info("socket"))
    # A single offered protocol is the one agreed on. With a part of the body still to come, the start of the frames is unknown.
    is_websocket = request.fields.upgrade.lower() == b"websocket" and not has_body_left
    end: type[TunnelEnd] = WebSocketEnd if is_websocket else TunnelEnd
    relay: Callable[..., Relay] = WebSocketRelay if is_websocket else Relay
    client_end, upstream_end = end(worker.connections), end(None)
    client_end.client_address = client_address
    client_end.clients = clients
    client_end.take_over(client, from_client, is_paused=is_paused, is_full=is_full)
    upstream_end.take_over(upstream.transport, from_upstream, is_paused=upstream.is_paused, is_full=upstream.is_full)
    account = Tunnel(worker, lease, record)
    relay(client_end, upstream_end, worker.wheel, timeouts.tunnel_s, timeouts.half_closed_s, account, monotonic())
