"""What stages remember of a block of field lines: keep-alive clients send the same lines each time.

Notes are kept with the parsed lines, which requests share that have them byte for byte. So a note may depend on nothing else
but what its key names: the stage, and what of the request besides its lines makes a difference to it, such as the method, or
whether X-Forwarded-* count as the peer is trusted. Where the client's address, the path or the time do, there is no note.
"""

from __future__ import annotations

from typing import Any, Final

from balance.http1.head import RequestFields

MAX_NOTES: Final = 64  # for each block; clients may make up any number of methods


def note(fields: RequestFields, key: object, found: Any) -> None:
    """Remember what was `found` for this key."""
    notes = fields.notes
    if notes is None:
        notes = fields.notes = {}
    elif len(notes) >= MAX_NOTES:
        notes.clear()
    notes[key] = found
