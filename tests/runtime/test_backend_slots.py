"""Who has which block of the board, from one configuration to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.config.model import BackendConfig, Config, HttpConfig, ListenerConfig, PoolConfig
from balance.config.route_model import Condition, RouteConfig, Rule, TrafficPolicy
from balance.model import Address, Mode
from balance.runtime.backend_slots import NOBODY, Assignment, Identity, NoRoomError, SlotBook

LISTENER = ListenerConfig("main", (), Mode.HTTP, "web")
CAPACITY = 6  # slot 0 included


def configured(*names: str, pool: str = "web") -> Config:
    """One pool of these backends; `b@9` is backend b at another port."""
    parts = [name.partition("@") for name in names]
    backends = tuple(BackendConfig(name, Address("127.0.0.1", int(port or 1))) for name, _, port in parts)
    return Config((), (PoolConfig(pool, backends),))


def unused(slot: int) -> bool:
    return True


def turned(book: SlotBook, *names: str, pool: str = "web") -> dict[str, int]:
    """The book after a reload to these: their slots, by name."""
    assignment = book.assign(configured(*names, pool=pool), unused)
    book.adopt(assignment)
    return {name: slot for (_, name), slot in assignment.slots.items()}


def test_slots_are_given_in_the_order_of_the_file_and_none_is_nobodys() -> None:
    assert turned(SlotBook(CAPACITY), "a", "b", "c") == {"a": 1, "b": 2, "c": 3}


def test_a_backend_keeps_its_slot_wherever_it_stands_in_the_file() -> None:
    book = SlotBook(CAPACITY)
    turned(book, "a", "b")
    assert turned(book, "c", "b", "a") == {"c": 3, "b": 2, "a": 1}


def test_one_that_comes_back_finds_its_slot_again() -> None:
    book = SlotBook(CAPACITY)
    turned(book, "a", "b")
    turned(book, "a", "c")
    assert turned(book, "a", "b", "c") == {"a": 1, "b": 2, "c": 3}


def test_a_slot_has_the_name_of_whoever_had_it_last() -> None:
    book = SlotBook(CAPACITY)
    turned(book, "a", "b")
    turned(book, "a@2")
    assert book.names == {1: ("web", "a"), 2: ("web", "b"), 3: ("web", "a")}  # at two addresses
    turned(book, "c", "d", "e")  # one more than there is room for without taking one
    assert book.names == {1: ("web", "e"), 2: ("web", "b"), 3: ("web", "a"), 4: ("web", "c"), 5: ("web", "d")}


def test_a_rule_has_its_slot_for_as_long_as_it_says_the_same() -> None:
    book = SlotBook(CAPACITY)

    def slots(*rules: Rule) -> dict[str, int]:
        routes = (RouteConfig("r", pool="web", policy=TrafficPolicy(rules=rules)),)
        assignment = book.assign(Config((replace(LISTENER, http=HttpConfig(routes=routes)),), ()), unused)
        book.adopt(assignment)
        return {name: slot for (kind, name), slot in assignment.slots.items() if kind == "//"}

    deny = Rule(Condition("prefix", "path", value="/a"), "deny", name="a")
    other = Rule(Condition("prefix", "path", value="/b"), "deny", name="b")
    assert slots(deny) == {"main/r/a": 3}  # behind the listener and the route
    assert slots(other, deny) == {"main/r/b": 4, "main/r/a": 3}
    assert slots(replace(deny, status=404)) == {"main/r/a": 5}


def test_the_same_name_at_another_address_or_in_another_pool_is_another_backend() -> None:
    book = SlotBook(CAPACITY)
    turned(book, "a@1")
    assert turned(book, "a@2") == {"a": 2}
    assert turned(book, "a@2", pool="api") == {"a": 3}


def test_while_there_is_room_nobodys_slot_is_reused_and_then_the_longest_gones_first() -> None:
    book = SlotBook(CAPACITY)
    turned(book, "a", "b")
    turned(book, "b", "c")  # a has left
    turned(book, "c", "d")  # b too
    assert turned(book, "c", "d", "e") == {"c": 3, "d": 4, "e": 5}
    assignment = book.assign(configured("c", "d", "e", "f"), unused)
    assert (assignment.slots["web", "f"], assignment.reused) == (1, {1})
    book.adopt(assignment)
    assert turned(book, "c", "d", "e", "g")["g"] == 2  # not that of f, which has just left


def test_a_slot_that_some_worker_still_holds_something_of_is_passed_over() -> None:
    book = SlotBook(4)
    turned(book, "a", "b", "c")
    turned(book, "c")
    assignment = book.assign(configured("c", "d"), lambda slot: slot != 1)
    assert (assignment.slots["web", "d"], assignment.reused) == (2, {2})
    with pytest.raises(NoRoomError):
        book.assign(configured("c", "d"), lambda slot: False)


def test_who_is_served_now_loses_its_slot_to_nobody_who_comes_in_its_place() -> None:
    book = SlotBook(4)
    turned(book, "a", "b", "c")
    with pytest.raises(NoRoomError):
        book.assign(configured("d", "e", "f"), unused)
    turned(book, "a")
    assert turned(book, "a", "d", "e") == {"a": 1, "d": 2, "e": 3}


def test_one_whose_owner_was_displaced_begins_as_a_stranger() -> None:
    book = SlotBook(3)
    turned(book, "a", "b")
    turned(book, "a")
    turned(book, "a", "c")
    turned(book, "a")
    assignment = book.assign(configured("a", "b"), unused)
    assert (assignment.slots["web", "b"], assignment.reused) == (2, {2})


def test_an_assignment_changes_nothing_until_it_is_adopted() -> None:
    book = SlotBook(CAPACITY)
    turned(book, "a", "b", "c")
    before = book.dump()
    book.assign(configured("x", "a"), unused)
    assert book.dump() == before
    assert turned(book, "y") == {"y": 4}


def test_too_many_backends_are_refused_with_both_numbers() -> None:
    with pytest.raises(NoRoomError, match=r"^6 backends need more room than the 5 ") as caught:
        SlotBook(CAPACITY).assign(configured(*"abcdef"), unused)
    assert "\n" not in str(caught.value)
    assert turned(SlotBook(CAPACITY), *"abcde")["e"] == 5


def test_a_successor_that_is_given_the_book_goes_on_with_it() -> None:
    book, successor = SlotBook(CAPACITY), SlotBook(CAPACITY)
    turned(book, "a", "b")
    turned(book, "b", "c")
    successor.restore(book.dump())
    assert successor.dump() == book.dump()
    assert turned(successor, "c", "b", "a", "d") == {"c": 3, "b": 2, "a": 1, "d": 4}
    assert SlotBook(CAPACITY).dump() == []


def test_a_successor_takes_no_slot_that_its_predecessor_still_serves_with() -> None:
    # Its workers go on until the successor's are ready, and can choose any backend at any time.
    book, successor = SlotBook(3), SlotBook(3)
    turned(book, "a", "b")
    successor.restore(book.dump())
    with pytest.raises(NoRoomError, match=r"^2 backends, besides 1 that go and are still in use, need more room than the 2 "):
        successor.assign(configured("a", "c"), unused)


# --- whatever happens ---------------------------------------------------------------------------------------------

NAMES = st.lists(st.sampled_from([f"{name}@{port}" for name in "abcdefgh" for port in (1, 2)]), max_size=7).map(
    lambda names: list({name[0]: name for name in names}.values())  # a name once
)
STEPS = st.lists(st.tuples(NAMES, st.sets(st.integers(1, 9)), st.sampled_from(["adopt", "forget", "hand over"])), max_size=12)


@settings(deadline=None)
@given(st.integers(2, 10), STEPS)
def test_no_slot_is_ever_two_backends_and_none_that_is_used_is_taken_away(
    capacity: int, steps: list[tuple[list[str], set[int], str]]
) -> None:
    book = SlotBook(capacity)
    present: dict[Identity, int] = {}
    known: dict[Identity, int] = {}
    used = 1
    for names, busy, then in steps:
        config = configured(*names)
        try:
            found = book.assign(config, lambda slot, busy=busy: slot not in busy)  # type: ignore[misc]
        except NoRoomError:
            assert missing(config, present, known, busy, capacity - used) > 0
            continue
        assert missing(config, present, known, busy, capacity - used) <= 0
        check(found, config, present, known, busy, capacity)
        if then == "forget":
            continue
        book.adopt(found)
        present = dict(found.identities)
        known = {identity: slot for identity, slot in known.items() if slot not in found.reused} | present
        used = found.used
        assert {identity: slot for identity, slot, _ in book.dump()} == known
        assert {identity: slot for identity, slot, is_present in book.dump() if is_present} == present
        assert len(set(known.values())) == len(known)
        if then == "hand over":
            dump, book = book.dump(), SlotBook(capacity)
            book.restore(dump)


def config_identities(config: Config) -> list[Identity]:
    return [(pool.name, backend.name, str(backend.address)) for pool in config.pools for backend in pool.backends]


def missing(config: Config, present: dict[Identity, int], known: dict[Identity, int], busy: set[int], free: int) -> int:
    """How many slots there are too few."""
    wanted = set(config_identities(config))
    reusable = [slot for identity, slot in known.items() if identity not in wanted | set(present) and slot not in busy]
    return len(wanted - set(known)) - free - len(reusable)


def check(
    found: Assignment, config: Config, present: dict[Identity, int], known: dict[Identity, int], busy: set[int], capacity: int
) -> None:
    wanted = config_identities(config)
    assert list(found.identities) == wanted
    assert found.slots == {(pool, name): found.identities[pool, name, address] for pool, name, address in wanted}
    slots = list(found.identities.values())
    assert len(set(slots)) == len(slots)
    assert all(NOBODY < slot < found.used <= capacity for slot in slots)
    assert all(found.identities[identity] == slot for identity, slot in known.items() if identity in found.identities)
    assert found.reused <= set(known.values()) - busy - set(present.values())
    assert found.reused == {slot for identity, slot in found.identities.items() if identity not in known} & set(known.values())


def test_addresses_that_come_and_go_for_ever_take_no_slots_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery whose source never rests: 1,000 addresses, one after the other. The latest keep what they had."""
    monkeypatch.setattr("balance.runtime.backend_slots.KEPT_SLOTS", 100)
    book = SlotBook(16_384)
    slots: set[int] = set()
    for number in range(1, 1001):
        slots |= set(turned(book, "stays", f"b{number}").values())
    assert len(slots) <= 103
    assert len(book.dump()) <= 103
    before = book.names
    (slot,) = [slot for slot, name in before.items() if name == ("web", "b990")]
    assert turned(book, "stays", "b990")["b990"] == slot


def test_a_slot_that_is_in_use_is_left_to_who_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.runtime.backend_slots.KEPT_SLOTS", 0)
    book = SlotBook(CAPACITY)
    turned(book, "a")
    turned(book, "b")
    assignment = book.assign(configured("c"), lambda slot: slot != 1)
    assert (assignment.slots["web", "c"], assignment.reused) == (3, frozenset())
    assert book.assign(configured("c"), unused).slots["web", "c"] == 1
