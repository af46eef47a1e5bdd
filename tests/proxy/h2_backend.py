"""A backend that speaks HTTP/2 by the `h2` library, for a Stage: each request, once whole, is given to an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes, Settings
from rawclient import Wire
from stage import Script


@dataclass
class Asked:
    """A request as it came."""

    stream_id: int
    fields: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    is_whole: bool = False
    reset: int | None = None  # the code of its RST_STREAM

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    @property
    def path(self) -> str:
        return self.get(":path") or ""


class Peer:
    """One connection. `asked` has its requests by the number of their streams."""

    def __init__(self, wire: Wire, settings: Mapping[SettingCodes, int]) -> None:
        self.wire = wire
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = Settings(client=False, initial_values={SettingCodes.MAX_HEADER_LIST_SIZE: 65536, **settings})
        self.asked: dict[int, Asked] = {}
        self.terminated: int | None = None  # the code of a GOAWAY that came
        self.takes_content = True  # else no credit is given
        self._left: dict[int, bytes] = {}  # content that waits for a window

    async def flush(self) -> None:
        await self.wire.send(self.h2.data_to_send())

    def answer(
        self, stream_id: int, body: bytes = b"ok", *fields: tuple[str, str], status: int = 200, trailers: bool = False
    ) -> None:
        """A reply with its end; without a length unless a field says one."""
        self.h2.send_headers(stream_id, [(":status", str(status)), *fields], end_stream=not body and not trailers)
        if trailers:
            self.h2.send_data(stream_id, body)
        elif body:
            self._left[stream_id] = body
            self._go_on()
        if trailers:
            self.h2.send_headers(stream_id, [("x-trailer", "yes")], end_stream=True)

    def _go_on(self) -> None:
        for stream_id, body in list(self._left.items()):
            while body and (room := min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)) > 0:
                part, body = body[:room], body[room:]
                self.h2.send_data(stream_id, part, end_stream=not body)
            self._left[stream_id] = body
            if not body:
                del self._left[stream_id]

    async def events(self) -> list[Event]:
        """What one read brought; empty at the end of the connection."""
        data = await self.wire.some()
        if not data:
            return []
        found: list[Event] = list(self.h2.receive_data(data))
        for event in found:
            match event:
                case RequestReceived():
                    self.asked[event.stream_id] = Asked(event.stream_id, [(str(n), str(v)) for n, v in event.headers])
                case DataReceived():
                    self.asked[event.stream_id].body += event.data
                    if self.takes_content:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case TrailersReceived():
                    self.asked[event.stream_id].trailers = [(str(n), str(v)) for n, v in event.headers]
                case StreamEnded():
                    self.asked[event.stream_id].is_whole = True
                case StreamReset():
                    self.asked[event.stream_id].reset = event.error_code
                    self._left.pop(event.stream_id, None)
                case ConnectionTerminated():
                    self.terminated = event.error_code
        self._go_on()  # windows may have grown
        return found


class H2Backend:
    """A script; `peers` has its connections."""

    def __init__(
        self,
        answer: Callable[[Peer, Asked], None],
        settings: Mapping[SettingCodes, int] | None = None,
        *,
        at_head: bool = False,
    ) -> None:
        """`answer` is called for each whole request, or with `at_head` when its head has come."""
        self.peers: list[Peer] = []
        self._answer = answer
        self._settings = settings or {}
        self._at_head = at_head

    @property
    def asked(self) -> list[Asked]:
        return [asked for peer in self.peers for asked in peer.asked.values()]

    @property
    def script(self) -> Script:
        return self._play

    async def _play(self, wire: Wire) -> None:
        peer = Peer(wire, self._settings)
        self.peers.append(peer)
        peer.h2.initiate_connection()
        await peer.flush()
        await self.go_on(peer)

    async def go_on(self, peer: Peer) -> None:
        """Answer what comes, until the connection ends."""
        while events := await peer.events():
            for event in events:
                if isinstance(event, RequestReceived if self._at_head else StreamEnded):
                    self._answer(peer, peer.asked[event.stream_id])
            await peer.flush()


def replies(body: bytes = b"ok", *fields: tuple[str, str], trailers: bool = False) -> H2Backend:
    """One that answers all alike."""
    return H2Backend(lambda peer, asked: peer.answer(asked.stream_id, body, *fields, trailers=trailers))
