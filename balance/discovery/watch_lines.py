"""The events of a Kubernetes watch: a JSON document a line, however the bytes are cut
(https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes)."""

from __future__ import annotations

from typing import Any, Final

from balance.discovery.json_reading import read_json

# An object in etcd has at most 1.5 MB, and fewer than three times as many bytes in JSON.
MAX_LINE: Final = 8 * 1024 * 1024


class WatchLines:
    """feed() gives the events that are complete. ValueError: what comes is no watch, or has no end."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()  # of a line that has not ended

    @property
    def is_between(self) -> bool:
        """Whether nothing of an event is held, so that the stream may end here."""
        return not self._held.strip()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The events in received bytes, with those of before."""
        self._held += data
        if b"\n" not in data:
            if len(self._held) > MAX_LINE:
                raise ValueError(f"an event is longer than {MAX_LINE // 1024 // 1024} MB")
            return []
        *lines, last = bytes(self._held).split(b"\n")
        self._held = bytearray(last)
        return [_event(line) for line in lines if line.strip()]


def _event(line: bytes) -> dict[str, Any]:
    event = read_json(line)
    if not isinstance(event, dict) or not isinstance(event.get("type"), str) or not isinstance(event.get("object"), dict):
        raise ValueError("an event has no type or no object: is this a Kubernetes API server?")
    return event
