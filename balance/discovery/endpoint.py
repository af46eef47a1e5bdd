"""One server that a source found. Which names, weights and addresses one may have is decided here, for all sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from balance.model import Address

MAX_WEIGHT: Final = 65535  # as a backend's
MAX_NAME: Final = 100  # characters


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Two that are equal are the same in everything that is laid over the configuration."""

    address: str  # 10.0.0.1:80, [::1]:80, unix:/x
    name: str = ""  # "": made from the address
    weight: int = 1  # 0: nothing new, as HAProxy
    backup: bool = False
    region: str = ""
    draining: bool = False  # it ends but still serves: gets nothing new, keeps its sessions
    max_connections: int = 0
    metadata: tuple[tuple[str, str], ...] = ()
    part: str = field(default="", compare=False)  # of the source that it is from, see Answer.unasked: AAAA, say

    @property
    def key(self) -> str:
        """Its name in the pool."""
        return self.name or name_of(self.address)


def name_of(address: str) -> str:
    """The name of an endpoint whose source gives it none: its address. A socket's path has dots for its slashes."""
    return address.removeprefix("unix:").strip("/").replace("/", ".")[-MAX_NAME:]


def clean_name(text: str) -> str:
    """A name of a source as a backend may have it: what that has not becomes a hyphen."""
    return "".join("-" if char == "/" or char.isspace() or not char.isprintable() else char for char in text)[-MAX_NAME:]


def checked_address(text: str) -> str:
    """The address as it is written everywhere (`10.0.0.1:80`, `[::1]:80`). ValueError says what is wrong.

    A host without a port, or port 0, is no backend.
    """
    if "://" in text:
        raise ValueError(f"{text[:60]!r} is a URL; write host:port (whether it has TLS says `tls` of the pool)")
    address = Address.parse(text)
    if not address.is_unix and not address.host:
        raise ValueError(f"{text!r} has no host")
    if not address.is_unix and not address.port:
        raise ValueError(f"{text!r}: port 0 is not in 1..65535")
    return str(address)


def checked_name(text: str) -> str:
    """The name, or ValueError: what a backend in the file may be called."""
    if not 0 < len(text) <= MAX_NAME or "/" in text or any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError(f"{text[:40]!r} is not a name: up to {MAX_NAME} characters without spaces or slashes")
    return text


def checked_weight(weight: int) -> int:
    """The weight, or ValueError."""
    if not 0 <= weight <= MAX_WEIGHT:
        raise ValueError(f"the weight {weight} is not in 0..{MAX_WEIGHT}")
    return weight
