"""Syslog (RFC 5424): where messages go, and what they look like there."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from balance.model import Address

LOCAL7: Final = 23  # the facility of the access log, as nginx has it
DAEMON: Final = 3  # of the program's own log
ERROR: Final = 3
WARNING: Final = 4
INFO: Final = 6
DEBUG: Final = 7
UDP_BYTES: Final = 2048  # of a message: what receivers should take, section 6.1
OTHER_BYTES: Final = 8192  # what rsyslog takes unless told otherwise
HEADER_BYTES: Final = 400  # the most of a header, and of the count before it
_MAX_HOST: Final = 255


class Transport(enum.Enum):
    """How messages travel."""

    UNIX = "unix"  # datagrams, or a stream of lines where the socket is one
    UDP = "udp"
    TCP = "tcp"  # octet counting, RFC 6587 section 3.4.1


class SyslogTarget(NamedTuple):
    """Where messages go."""

    transport: Transport
    address: Address

    @property
    def longest(self) -> int:
        """The most bytes of a message's text."""
        return (UDP_BYTES if self.transport is Transport.UDP else OTHER_BYTES) - HEADER_BYTES


def is_syslog(output: str) -> bool:
    """Whether an output is meant to be one."""
    return output.startswith(("syslog:", "syslog+"))


def syslog_target(output: str) -> SyslogTarget:
    """``syslog:PATH``, ``syslog+udp://HOST:PORT`` or ``syslog+tcp://HOST:PORT``. ValueError says what is wrong."""
    scheme, _, rest = output.partition(":")
    if scheme == "syslog":
        try:
            return SyslogTarget(Transport.UNIX, Address.parse(f"unix:{rest}"))
        except ValueError:
            raise ValueError(
                f"{output!r}: after syslog: stands the path of a socket of up to 107 bytes, like syslog:/dev/log"
            ) from None
    if scheme not in ("syslog+udp", "syslog+tcp") or not rest.startswith("//"):
        raise ValueError(f"{output!r} is not syslog:PATH, syslog+udp://HOST:PORT or syslog+tcp://HOST:PORT")
    try:
        address = Address.parse(rest[2:])
    except ValueError as error:
        raise ValueError(f"{output!r}: {error}") from None
    if not address.host or not address.port:
        raise ValueError(f"{output!r} needs a host and a port, like {scheme}://127.0.0.1:514")
    return SyslogTarget(Transport(scheme[7:]), address)


def header(facility: int, severity: int, time: str, host: str, pid: int, message_id: str) -> bytes:
    """All before the text, section 6.2; without structured data. `time` is as in RFC 3339."""
    name = "".join([char for char in host if "!" <= char <= "~"])[:_MAX_HOST] or "-"
    return f"<{facility * 8 + severity}>1 {time} {name} balance {pid} {message_id} - ".encode("ascii")


def counted(message: bytes) -> bytes:
    """A message as it stands in a stream with octet counting."""
    return b"%d %b" % (len(message), message)
