"""The interface of a proxy in the benchmark: availability, version, configuration, start."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol


class Mode(Enum):
    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one peer runs, and in front of what."""

    folder: Path
    mode: Mode
    port: int
    admin_port: int
    origin_port: int
    descriptors: int
    everything: bool = False  # on, of what it can do for a request that goes well
    stages: bool = False  # a route with five stages
    http2: bool = False  # between clients and the proxy; also between it and the origin, where `grpc`
    grpc: bool = False
    workers: int = 1  # processes that serve, or threads
    certificate: Path | None = None  # key and certificate in one PEM file, where clients come over TLS

    def write(self, name: str, text: str) -> Path:
        path = self.folder / f"{self.mode.value}-{name}"
        path.write_text(text)
        return path


class Peer(Protocol):
    @property
    def name(self) -> str: ...

    def missing(self, mode: Mode, *, http2: bool = False, grpc: bool = False) -> str | None:
        """Why it cannot run here, or cannot speak HTTP/2 with clients, or for gRPC with backends, or None."""

    def version(self) -> str: ...

    def command(self, site: Site) -> list[str]:
        """Writes its configuration into the site's folder and says how to start in the foreground."""
