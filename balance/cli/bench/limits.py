"""What this machine allows (open files, local ports), and whether the server can be reached, said before the load begins."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from balance.cli.bench.plan import Plan
from balance.errors import StartError
from balance.process.os_calls import raise_file_limit

OWN_FILES: Final = 32  # beside connections
PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def check_limits(plan: Plan, port_range: Path = PORT_RANGE) -> None:
    """StartError where so many connections can't be had."""
    limit = raise_file_limit()
    most = max(connections for connections, _ in plan.shares())
    if limit < most + OWN_FILES:
        raise StartError(
            f"{most:,} connections in a process need {most + OWN_FILES:,} open files, and the limit is {limit:,}: raise it "
            f"(ulimit -n; LimitNOFILE of systemd), or spread them with --processes"
        )
    ports = local_ports(port_range)
    if ports and plan.connections > ports:
        raise StartError(
            f"{plan.connections:,} connections to one address need as many local ports, and this machine has {ports:,}: "
            f"widen net.ipv4.ip_local_port_range, or measure from several machines"
        )


def local_ports(port_range: Path = PORT_RANGE) -> int:
    """How many local ports connections to one address may have; 0 where nobody says."""
    try:
        low, high = map(int, port_range.read_text().split())
    except (OSError, ValueError):
        return 0
    return high - low + 1


def reachable_address(plan: Plan) -> str:
    """The first address of the server's name that takes a connection; StartError says why none does."""
    target = plan.target
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        reason = error.strerror or error
        raise StartError(f"the name {target.host!r} does not resolve: {reason}") from None
    except UnicodeError:
        raise StartError(f"{target.host!r} is no name") from None
    reason = ""
    for *_, address in found:
        try:
            socket.create_connection((str(address[0]), target.port), timeout=plan.timeout_s).close()
        except OSError as error:
            reason = reason or f"{address[0]} port {target.port}: {error.strerror or 'no answer in time'}"
        else:
            return str(address[0])
    raise StartError(f"cannot connect to {target}: {reason}")
