"""A field of a request that is believed from `security.trusted_proxies` only; from anybody else it does not go on either.

A backend would else take for ours what any client may claim, and so would a proxy behind this one that trusts it.
"""

from __future__ import annotations

from typing import Final

from balance.http1.fields import PROTECTED
from balance.stages.request_context import RequestContext
from balance.transform.header_changes import without

# What every client sends for its own sake: it stays, whoever sends it, if a file names it.
_CLIENTS_OWN: Final = PROTECTED | {
    b"accept", b"accept-encoding", b"accept-language", b"if-match", b"if-modified-since", b"if-none-match", b"if-range",
    b"if-unmodified-since", b"origin", b"referer", b"user-agent",
}  # fmt: skip


class TrustedField:
    """One field, by its lower-case name."""

    __slots__ = ("_removed", "name")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self._removed = frozenset((name,)) - _CLIENTS_OWN

    def believed(self, context: RequestContext) -> bytes | None:
        """Its value, of a trusted proxy; None without one."""
        return context.header(self.name) if context.is_trusted else None

    def remove_unbelieved(self, context: RequestContext) -> None:
        """Take it out of what goes to the backend, unless a trusted proxy has sent it."""
        if not context.is_trusted and self._removed and context.header(self.name) is not None:
            context.forward = without(context.forward, self._removed)
