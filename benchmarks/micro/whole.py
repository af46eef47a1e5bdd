"""A whole request, from the client's bytes to the reply's, over connections that take everything and lead nowhere.

What Python costs per request, without the kernel and without the event loop: on a busy machine the only time of a request
that repeats. `benchmarks/instructions` counts the same and more like it, which repeats on any machine.
"""

from __future__ import annotations

from collections.abc import Callable

from scripted.bytes_sent import GET, REPLY
from scripted.site import Site


def request(settings: str) -> Callable[[], object]:
    """One request and its reply, again and again on the same two connections, with a session if there are any."""
    site = Site(settings)
    settings, there, upstream = site.http()
    client, here = site.client(settings)
    head = site.in_session(GET)

    def once() -> None:
        client.data_received(head)
        upstream.data_received(REPLY)

    for number in range(1, 100):  # the first ones ask for permits, and look for their cookie
        once()
        assert (here.writes, there.writes) == (number, number)
    return once
