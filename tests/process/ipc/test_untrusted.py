"""A child that was taken over makes the supervisor run nothing."""

from __future__ import annotations

import os
import pickle

import pytest

from balance.admin.supervisor_orders import ChangeBackends, ChangeDiscovered, Order, Reload, Restart, Stop, Upgrade
from balance.config.overrides.route_switch import RouteSwitch
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.process.ipc import untrusted
from balance.process.ipc.pipe import INLINE_BYTES, pipe_pair
from balance.process.privileges import Credentials


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("false",)


@pytest.mark.parametrize("evil", [_Evil(), Credentials("root", 0, 0), os.system, ("order", {"a": [_Evil()]})])
def test_nothing_but_orders_is_read(evil: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="has no place in a message of a child"):
        untrusted.loads(pickle.dumps(evil))


NO_MESSAGES = [b"", b"cos\nsystem\n", b"\x80\x05", b"no pickle", pickle.dumps("x" * 100)[:50], b"\x80\x05N\x85R.", b"N."]
NO_MESSAGES += [pickle.dumps(each) for each in ((1, 2), ("a",), ("a", 1, 2), None, 3)]


@pytest.mark.parametrize("data", NO_MESSAGES)
def test_what_is_no_pickle_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        untrusted.loads(data)


ORDERS: list[Order] = [
    Reload("text", rollback=True, to=3),
    Restart(),
    Upgrade(),
    Stop(),
    ChangeBackends((BackendChange(Verb.SET, "p", "b", '{"weight": 2}'), RouteSwitch("", "r", "blue")), dry_run=True),
    ChangeDiscovered((DiscoveredPool("p", (Endpoint("10.0.0.1:80", metadata=(("a", "b"),)),), ("gone",)),)),
]


@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_read(order: Order) -> None:
    assert untrusted.loads(pickle.dumps(("order", (1, order)))) == ("order", (1, order))


@pytest.mark.parametrize("padding", [0, INLINE_BYTES])
def test_a_child_that_says_more_is_not_listened_to_any_more(padding: int) -> None:
    mine, theirs = pipe_pair(untrusted.loads)
    theirs.send("ready")
    theirs.send("order", ("x" * padding, _Evil()))
    theirs.send("ready")
    messages, is_open = mine.receive()
    assert ([message.kind for message in messages], is_open) == (["ready"], False)


def test_a_packet_without_its_file_is_no_message() -> None:
    mine, theirs = pipe_pair(untrusted.loads)
    theirs._send(b"", ())
    assert mine.receive() == ([], False)
