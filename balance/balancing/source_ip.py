"""source-ip: maglev with the client's address as the key."""

from __future__ import annotations

from balance.balancing.maglev import Maglev


class SourceIp(Maglev):
    """A Maglev under its own name; the configuration sets the hash key to source-ip."""

    __slots__ = ()
