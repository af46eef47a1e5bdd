"""/blocklist: who is blocked at run time, shown and changed.

What is blocked stands in shared memory, so it holds in every worker within a tenth of a second, and stays through crashes,
reloads, restarts and upgrades; it ends with the instance.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from balance.access_lists.address_range import parse_range
from balance.access_lists.shared_blocks import BlockWriter, FullError
from balance.access_lists.timed_blocks import FOR_EVER, Network, network_of
from balance.admin.access.audit import note
from balance.admin.json_reply import iso_time, reply
from balance.admin.metrics.totals import Totals
from balance.admin.order_parsing import read_body, read_object
from balance.admin.state_view import StateView
from balance.config.model import ListenerConfig
from balance.config.schema.units import duration_s
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER, NOBODY

log = logging.getLogger("balance.admin")

LIMIT_BYTES = 1024 * 1024
ALLOWED = 'write {"add": "192.0.2.1", "for": "10m"} or {"remove": "192.0.2.1"}; several stand in a list'
_MAX_NAMED = 5  # addresses in one line of the log


class Blocklist:
    """The two handlers."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._writer = BlockWriter(view.board.blocks)

    async def show(self, request: Request) -> Response:
        """Who is blocked, and the lists of each listener."""
        writer, now_us, now = self._writer, time.monotonic_ns() // 1000, time.time()
        writer.catch_up()
        totals = Totals(self._view.board.rows)
        entries = [
            {
                "address": text_of(network),
                "until": None if until == FOR_EVER else iso_time(now + (until - now_us) / 1e6),
                "ends_in_seconds": None if until == FOR_EVER else round((until - now_us) / 1e6, 3),
            }
            for network, until in sorted(writer.blocks)
            if until > now_us
        ]
        lists = [self._lists(listener, totals) for listener in self._view.config.listeners]
        return reply({"blocked": entries, "listeners": lists})

    def _lists(self, listener: ListenerConfig, totals: Totals) -> dict[str, Any]:
        lists = listener.access_lists
        slot = self._view.slots.get((LISTENER, listener.name), NOBODY)
        refused = totals.cell(counters.block(slot) + counters.REFUSED_BLOCKED) if slot else 0
        return {
            "name": listener.name,
            "refused": refused,
            "allowed_ranges": len(lists.allowed) if lists.allowed is not None else 0,
            "blocked_ranges": len(lists.blocked) if lists.blocked is not None else 0,
            "files": [{"path": file.path, "ranges": len(file.addresses)} for file in lists.files],
        }

    async def change(self, request: Request) -> Response:
        """Block and unblock: all that is asked for, or nothing."""
        order = read_object(await read_body(request, LIMIT_BYTES, ALLOWED), ALLOWED)
        added, removed = _networks(order.pop("add", [])), _networks(order.pop("remove", []))
        until = _until(order.pop("for")) if "for" in order else FOR_EVER
        if order or not (added or removed):
            raise HTTPException(400, f"the body is no order; {ALLOWED}")
        writer = self._writer
        writer.catch_up()
        writer.expire(time.monotonic_ns() // 1000)
        present = dict(writer.blocks)
        for network in removed:
            if network not in present:
                raise HTTPException(404, self._not_blocked(network, present))
        try:
            writer.reserve(len([network for network in added if network not in present]) - len(removed))
        except FullError as error:
            raise HTTPException(409, str(error)) from None
        for network in removed:
            writer.unblock(network)
        for network in added:
            writer.block(network, until)
        how_long = "" if until == FOR_EVER else f" for {(until - time.monotonic_ns() // 1000) / 1e6:.0f}s"
        parts = [f"block {_named(added)}{how_long}"] if added else []
        parts += [f"unblock {_named(removed)}"] if removed else []
        note(request, "; ".join(parts), "done")
        warnings = self._warnings(added)
        for text in warnings:
            log.warning("%s", text)
        return reply({
            "done": True,
            "summary": "; ".join(parts),
            "blocked": list(map(text_of, added)),
            "unblocked": list(map(text_of, removed)),
            "warnings": warnings,
        })  # fmt: skip

    def _not_blocked(self, network: Network, present: dict[Network, int]) -> str:
        text = text_of(network)
        wider = [
            text_of(other)
            for other in present
            if other.is_ipv6 == network.is_ipv6
            and other.host_bits > network.host_bits
            and other.first == network.first >> other.host_bits << other.host_bits
        ]
        if wider:
            return f"{text} is not blocked by itself, but {wider[0]} is"
        packed = network.first.to_bytes(16 if network.is_ipv6 else 4, "big")
        for listener in self._view.config.listeners:
            if not listener.access_lists.admits(packed):
                return f"{text} is not blocked at run time, but by the access lists of listener {listener.name}"
        return f"{text} is not blocked"

    def _warnings(self, added: list[Network]) -> list[str]:
        """Trusted proxies speak for others, who are shut out with them."""
        return [
            f"{text_of(network)} has the trusted proxy {trusted}: whoever comes through it is shut out, too"
            for network in added
            for trusted in self._view.config.trusted_proxies
            if not isinstance(trusted, str)
            and (trusted.version == 6) == network.is_ipv6
            and int(trusted.network_address) >> network.host_bits == network.first >> network.host_bits
        ]


def text_of(network: Network) -> str:
    """As it is written: an address, or a network with its prefix length."""
    address = (ipaddress.IPv6Address if network.is_ipv6 else ipaddress.IPv4Address)(network.first)
    return f"{address}/{address.max_prefixlen - network.host_bits}" if network.host_bits else str(address)


def _networks(value: Any) -> list[Network]:
    listed = value if isinstance(value, list) else [value]
    found = []
    for each in listed:
        if not isinstance(each, str):
            raise HTTPException(400, f"the body is no order; {ALLOWED}")
        try:
            entry = parse_range(each.strip())
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        try:
            found.append(network_of(entry))
        except ValueError as error:
            raise HTTPException(400, f"{each[:60]!r} {error}") from None
    return list(dict.fromkeys(found))


def _until(value: Any) -> int:
    try:
        seconds = duration_s(value)
    except ValueError as error:
        raise HTTPException(400, f"for: {error}") from None
    if not seconds:
        raise HTTPException(400, "for: 0 is no time at all; write a duration like 10m, or leave it out")
    return time.monotonic_ns() // 1000 + int(seconds * 1e6)


def _named(networks: list[Network]) -> str:
    more = f" and {len(networks) - _MAX_NAMED} more" if len(networks) > _MAX_NAMED else ""
    return ", ".join(map(text_of, networks[:_MAX_NAMED])) + more
