"""The body of a reply to a client of gRPC-Web: the messages as they are, the trailers behind them as a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balance.grpc.web_frames import encode_text, trailers_frame

if TYPE_CHECKING:
    from balance.proxy.http.grpc.call import GrpcCall


class WebEncoder:
    """Encodes one reply. With `is_text` all of it is in base64."""

    __slots__ = ("_call", "_is_text")

    def __init__(self, call: GrpcCall, *, is_text: bool) -> None:
        self._call = call
        self._is_text = is_text

    def encode(self, data: bytes) -> bytes:
        return encode_text(data) if self._is_text else data

    def flush(self) -> bytes:
        return b""

    def finish(self) -> bytes:
        """The frame of the trailers."""
        content = self._call.content
        lines = b"" if content is None else content.trailers
        return self.encode(trailers_frame(lines)) if lines else b""

    def close(self) -> None:
        pass
