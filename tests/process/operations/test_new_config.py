"""The configuration that a reload may come to: which one an order means, and whether what was read will do here."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from child_contexts import context
from descriptors import open_descriptors
from fake_supervisor import LOCAL, FakeSupervisor, configured

from balance.admin.supervisor_orders import ChangeBackends, ChangeDiscovered, Reload
from balance.config.model import Config, ListenerConfig
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.model import Address, Mode
from balance.process.operations.load_config import Loaded
from balance.process.operations.new_config import (
    DISCOVERY_ORIGIN,
    RUNTIME_CHANGE_ORIGIN,
    ConfigRejectedError,
    load_request_for,
    propose,
)
from balance.process.sockets.listen_sockets import resolve_hosts

BEFORE = configured("b1")
AFTER = configured("b1", "b2")
A, B = Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80")
WEIGHT = BackendChange(Verb.SET, "web", "b1", '{"weight": 2}')
REMOVAL = BackendChange(Verb.REMOVE, "web", "b2")


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSupervisor]:
    supervisor = FakeSupervisor(BEFORE, monkeypatch, max_slots=5, max_rows=8)
    yield supervisor
    supervisor.close()


def loaded(supervisor: FakeSupervisor, config: Config, **more: Any) -> Loaded:
    """What the loader would say of it."""
    source = supervisor.supervisor_state.context.generation.source
    return Loaded(config, source, **{"changes": (), "dropped": (), "warnings": (), "hosts": resolve_hosts(config)} | more)


# --- what is to be read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "text", "is_reread", "changes", "origin"),
    [
        (Reload(), "two", True, (WEIGHT,), "a test"),
        (Reload(discard_changes=True), "two", True, (), "a test"),
        (Reload(text="three"), "three", False, (WEIGHT,), "a test"),
        (Reload(text="three", discard_changes=True), "three", False, (), "a test"),
        (ChangeBackends((REMOVAL,)), "two", False, (WEIGHT, REMOVAL), RUNTIME_CHANGE_ORIGIN),
        (Reload(rollback=True), "one", False, (REMOVAL,), "rollback to 1"),
        (Reload(rollback=True, to=1), "one", False, (REMOVAL,), "rollback to 1"),
        (Reload(rollback=True, discard_changes=True), "one", False, (), "rollback to 1"),
    ],
)
def test_what_is_read_and_for_whom_follows_from_the_order(
    order: Reload | ChangeBackends, text: str, is_reread: bool, changes: tuple[BackendChange, ...], origin: str
) -> None:
    place = context()
    first = replace(place.generation, source=place.generation.source.with_text("one"), changes=(REMOVAL,))
    second = replace(first, number=2, config=AFTER, source=first.source.with_text("two"), changes=(WEIGHT,))
    request, who = load_request_for(order, replace(place, history=(first, second)), "a test")
    assert (request.source.text, request.is_reread, request.changes, who) == (text, is_reread, changes, origin)


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (ChangeDiscovered((DiscoveredPool("web", (B,)), DiscoveredPool("mail", (A,)))), {"web": (B,), "mail": (A,)}),
        (Reload(), {"web": (A,)}),
        (Reload(text="three"), {"web": (A,)}),
        (ChangeBackends((REMOVAL,)), {"web": (A,)}),
        (
            Reload(rollback=True),
            {"web": (A,), "old": (B,)},
        ),  # what is lost comes back, and no server that is gone
    ],
)
def test_what_was_discovered_is_laid_over_whatever_is_read(
    order: Reload | ChangeBackends | ChangeDiscovered, found: dict[str, tuple[Endpoint, ...]]
) -> None:
    place = context()
    first = replace(place.generation, discovered=(DiscoveredPool("web", (B,)), DiscoveredPool("old", (B,))))
    second = replace(first, number=2, config=AFTER, discovered=(DiscoveredPool("web", (A,)),))
    request, _ = load_request_for(order, replace(place, history=(first, second)), "a test")
    assert {each.pool: each.endpoints for each in request.discovered} == found


def test_what_discovery_finds_is_the_same_generation_with_news(supervisor: FakeSupervisor) -> None:
    state = supervisor.supervisor_state
    sets = (DiscoveredPool("web", (A,)),)
    proposal = propose(loaded(supervisor, AFTER, discovered=sets), state, DISCOVERY_ORIGIN)
    generation = proposal.generation
    assert (generation.number, generation.base, generation.origin, generation.discovered) == (2, 1, "start", sets)
    assert generation.made_at == state.context.generation.made_at
    state.apply_generation(generation, proposal.assignment, state.context.listen_sockets)
    assert [each.number for each in state.context.history] == [2]
    after = propose(loaded(supervisor, BEFORE), state, "a test").generation
    assert (after.number, after.base) == (3, 3)


def test_a_generation_that_is_not_remembered_is_refused_with_those_that_are() -> None:
    place = context()
    history = tuple(replace(place.generation, number=number) for number in (3, 4, 5))
    for known, seen in (("none", history[:1]), ("3, 4", history)):
        with pytest.raises(ConfigRejectedError) as e:
            load_request_for(Reload(rollback=True, to=7), replace(place, history=seen), "a test")
        assert str(e.value) == f"there is no generation 7 to go back to; remembered before this one: {known}"
    with pytest.raises(ConfigRejectedError, match=r"^generation 5 is the one that is served$"):
        load_request_for(Reload(rollback=True, to=5), replace(place, history=history), "a test")


# --- whether it will do -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            configured("b2", "b3", "b4"),
            "3 backends, besides 1 that go and are still in use, need more room than the 4 that this instance was started with",
        ),
        (configured("b1", workers=5), "workers: 5 are more than the 4 that there is room for here"),
    ],
)
def test_more_than_there_is_room_for_is_refused_with_what_would_help(
    supervisor: FakeSupervisor, config: Config, problem: str
) -> None:
    with pytest.raises(ConfigRejectedError) as e:
        propose(loaded(supervisor, config), supervisor.supervisor_state, "a test")
    assert str(e.value) == f"{problem}; `balance upgrade` starts an instance that has it"


def test_a_proposal_is_the_next_generation_and_opens_nothing(supervisor: FakeSupervisor) -> None:
    gc.collect()  # what other tests have left
    before = open_descriptors()
    proposal = propose(loaded(supervisor, AFTER, changes=(WEIGHT,), dropped=("one",)), supervisor.supervisor_state, "a test")
    generation = proposal.generation
    assert (generation.number, generation.config, generation.origin, generation.changes) == (2, AFTER, "a test", (WEIGHT,))
    assert generation.slots == {("web", "b1"): 1, ("", "main"): 2, ("web", "b2"): 3}
    order_result = proposal.order_result(1)
    assert (order_result.is_done, order_result.generation, order_result.dropped) == (True, 1, ("one",))
    assert any("b2" in line for line in order_result.lines)
    assert order_result.summary == "+1 backend"
    assert open_descriptors() == before
    assert supervisor.number == 1


def test_a_candidate_listens_beside_what_is_served_and_tells_each_what_is_new_to_it(supervisor: FakeSupervisor) -> None:
    more = replace(AFTER, listeners=(*AFTER.listeners, ListenerConfig("more", (LOCAL,), Mode.TCP, "web")))
    new_config = propose(loaded(supervisor, more), supervisor.supervisor_state, "a test").open_sockets(
        supervisor.supervisor_state.context
    )
    assert (new_config.number, new_config.config_update.config) == (2, more)
    for child in (supervisor.worker(0), supervisor.worker(1), supervisor.control):
        prepare_request, new = new_config.prepare_request(child)
        assert prepare_request.new == tuple(os.fstat(sock.fileno()).st_ino for sock in new)
        assert len(new) == (child is not supervisor.control)
        assert [name for name, _ in prepare_request.sockets] == (["admin"] if child is supervisor.control else ["main", "more"])
    new_config.sockets_change.abort()
    assert all(sock.fileno() >= 0 for sock in supervisor.supervisor_state.context.listen_sockets.sockets)


def test_an_address_that_cannot_be_had_is_one_line_and_leaves_nothing_open(supervisor: FakeSupervisor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        listeners = (*AFTER.listeners, ListenerConfig("more", (LOCAL, address), Mode.HTTP, "web"))
        proposal = propose(loaded(supervisor, replace(AFTER, listeners=listeners)), supervisor.supervisor_state, "a test")
        gc.collect()  # what other tests have left
        before = open_descriptors()
        with pytest.raises(ConfigRejectedError, match=f"^listener more: cannot listen on {address}: it is in use"):
            proposal.open_sockets(supervisor.supervisor_state.context)
        assert open_descriptors() == before
