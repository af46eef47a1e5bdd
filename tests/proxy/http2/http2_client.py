"""A client of HTTP/2 for a stage: the h2 library over a raw connection, which reads only when a test waits for something."""

from __future__ import annotations

from dataclasses import dataclass, field

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from rawclient import Wire
from stage import Stage

from balance.http2.frames import GOAWAY

Fields = list[tuple[bytes, bytes]]


@dataclass
class Reply:
    """What has come on one stream."""

    fields: Fields = field(default_factory=list)
    interims: list[Fields] = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    has_ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.fields)[b":status"])

    def get(self, name: bytes) -> bytes | None:
        return dict(self.fields).get(name)


class Http2Client:
    """Made by `connect`."""

    def __init__(self, wire: Wire, *, takes: bool = True) -> None:
        """`takes`: windows are opened for what comes."""
        self.wire = wire
        self.takes = takes
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False,
                                               normalize_outbound_headers=False))  # fmt: skip
        self.replies: dict[int, Reply] = {}
        self._unread = b""
        self.goaways: list[tuple[int, int]] = []  # code, last stream
        self.settings: dict[int, int] = {}
        self.is_over = False

    async def begin(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.wire.send(data)

    async def request(
        self,
        path: str = "/",
        *more: tuple[bytes, bytes],
        method: str = "GET",
        body: bytes | None = None,
        ends: bool = True,
        authority: str = "a.example",
    ) -> int:
        """A request, with its body if there is one; `ends`: there is no more of it."""
        stream_id = self.h2.get_next_available_stream_id()
        fields: Fields = [
            (b":method", method.encode()), (b":scheme", b"http"), (b":authority", authority.encode()), (b":path", path.encode())
        ]  # fmt: skip
        self.h2.send_headers(stream_id, [*fields, *more], end_stream=ends and body is None)
        if body is not None:
            await self.send(stream_id, body, ends=ends)
        await self.flush()
        return stream_id

    async def send(self, stream_id: int, body: bytes, *, ends: bool = False) -> None:
        """More of a body, as windows allow it."""
        while body:
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(body))
            if not room:
                await self.flush()
                await self.read()
                continue
            self.h2.send_data(stream_id, body[:room])
            body = body[room:]
        if ends:
            self.h2.end_stream(stream_id)
        await self.flush()

    async def reset(self, stream_id: int, code: int = 8) -> None:
        self.h2.reset_stream(stream_id, code)
        await self.flush()

    async def read(self) -> None:
        """What comes next."""
        data = await self.wire.some()
        if not data:
            self.is_over = True
            return
        self._unread += data
        kept = b""
        while len(self._unread) >= 9:  # h2 does nothing more after a GOAWAY, while the proxy goes on
            size = 9 + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < size:
                break
            frame, self._unread = self._unread[:size], self._unread[size:]
            if frame[3] == GOAWAY:
                self.goaways.append((int.from_bytes(frame[13:17], "big"), int.from_bytes(frame[9:13], "big")))
            else:
                kept += frame
        for event in self.h2.receive_data(kept):
            self._take(event)
        await self.flush()

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.RemoteSettingsChanged):
            self.settings |= {int(code): change.new_value for code, change in event.changed_settings.items()}
        stream_id = getattr(event, "stream_id", None)
        if stream_id is None:
            return
        reply = self.replies.setdefault(stream_id, Reply())
        if isinstance(event, events.InformationalResponseReceived):
            reply.interims.append(list(event.headers or []))  # type: ignore[arg-type]
        elif isinstance(event, events.ResponseReceived):
            reply.fields = list(event.headers or [])  # type: ignore[arg-type]
        elif isinstance(event, events.DataReceived):
            reply.body += event.data or b""
            if self.takes and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
        elif isinstance(event, events.TrailersReceived):
            reply.trailers = list(event.headers or [])  # type: ignore[arg-type]
        elif isinstance(event, events.StreamEnded):
            reply.has_ended = True
        elif isinstance(event, events.StreamReset):
            reply.reset = int(event.error_code or 0)

    async def reply(self, stream_id: int) -> Reply:
        """The whole of one reply, or its reset."""
        while not self.is_over:
            reply = self.replies.get(stream_id)
            if reply is not None and (reply.has_ended or reply.reset is not None):
                return reply
            await self.read()
        raise AssertionError(f"the connection ended before the reply of {stream_id}: {self.replies.get(stream_id)}")

    async def head(self, stream_id: int) -> Reply:
        """At least its head."""
        while not (self.replies.get(stream_id) or Reply()).fields:
            await self.read()
            assert not self.is_over
        return self.replies[stream_id]

    async def over(self) -> None:
        """Until the proxy has closed."""
        while not self.is_over:
            try:
                await self.read()
            except ConnectionError:
                self.is_over = True


async def connect(stage: Stage, *, takes: bool = True, source: str = "") -> Http2Client:
    client = Http2Client(await stage.client(source=source), takes=takes)
    await client.begin()
    return client
