"""A backend over HTTP/2 by the h2 library, which checks what it reads, and writes down every request."""

from __future__ import annotations

import contextlib
import socket

from h2 import events, exceptions
from h2.config import H2Configuration
from h2.connection import H2Connection
from recording_server import Seen
from threaded_server import ThreadedServer


class RecordingH2Server(ThreadedServer):
    """Answers each whole request with its method and target; `/slow/…` when `released` is set. Speaks HTTP/2 alone."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.garbage: list[bytes] = []
        self.resets: list[tuple[bytes, int]] = []  # target, code
        ThreadedServer.__init__(self)  # last, as it serves from then on

    def serve(self, sock: socket.socket, number: int) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        streams: dict[int, Seen] = {}
        with contextlib.suppress(OSError), sock:
            sock.sendall(connection.data_to_send())
            while data := sock.recv(1 << 16):
                try:
                    found = connection.receive_data(data)
                except exceptions.ProtocolError as error:
                    self.garbage.append(repr(error).encode())
                    sock.sendall(connection.data_to_send())
                    return
                for event in found:
                    with contextlib.suppress(exceptions.ProtocolError):  # ours: the stream was reset in what was read
                        self._note(connection, event, streams, number)
                sock.sendall(connection.data_to_send())

    def _note(self, connection: H2Connection, event: events.Event, streams: dict[int, Seen], number: int) -> None:
        if isinstance(event, events.RequestReceived):
            fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            pseudo = dict(fields)
            streams[event.stream_id] = Seen(number, pseudo[b":method"], pseudo[b":path"], fields)
            self.requests.append(streams[event.stream_id])
        elif isinstance(event, events.DataReceived):
            streams[event.stream_id].content += event.data
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.TrailersReceived):
            streams[event.stream_id].trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
        elif isinstance(event, events.StreamEnded):
            self._answer(connection, event.stream_id, streams[event.stream_id])
        elif isinstance(event, events.StreamReset):
            self.resets.append((streams[event.stream_id].target, int(event.error_code)))

    def _answer(self, connection: H2Connection, stream_id: int, seen: Seen) -> None:
        seen.is_whole = True
        if seen.target.startswith(b"/slow/"):
            self.released.wait(60)
        content = seen.method + b" " + seen.target
        connection.send_headers(stream_id, [(b":status", b"200"), (b"content-length", b"%d" % len(content))])
        connection.send_data(stream_id, b"" if seen.method == b"HEAD" else content, end_stream=True)
