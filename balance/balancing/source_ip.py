"""The same client to the same backend: maglev, and the key is the client's address whatever `hash_key` says."""

from __future__ import annotations

from balance.balancing.maglev import Maglev


class SourceIp(Maglev):
    """A class of its own so that it has a name of its own; what the key is, the configuration settles."""

    __slots__ = ()
