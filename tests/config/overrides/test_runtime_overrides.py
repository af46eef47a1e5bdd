"""Run-time changes to backends stay in effect until the file's entry for the same backend changes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.config.loading import LoadedWithChanges, load_text, load_with_changes
from balance.config.overrides.runtime_overrides import NOT_IN_FILE, BackendChange, Verb, apply_changes
from balance.config.reading.reader import read
from balance.errors import ConfigError

FILE = """\
listen: ":8080"
backends:
  - {name: a, address: "10.0.0.1:80", weight: 2}
  - {name: b, address: "10.0.0.2:80"}
  - {address: "10.0.0.3:80"}
"""
POOLS = """\
listeners: [{listen: ":8080", pool: app}]
pools:
  app: {backends: [{name: a, address: "10.0.0.1:80"}]}
  raw: {backends: [{name: a, address: "10.0.0.9:80"}]}
"""


def change(verb: str, name: str, pool: str = "", /, **values: Any) -> BackendChange:
    return BackendChange(Verb(verb), pool, name, json.dumps(values))


def changed(text: str, *changes: BackendChange) -> LoadedWithChanges:
    return load_with_changes(text, "f.yaml", {}, changes)


def seen(of: LoadedWithChanges) -> list[str]:
    return [
        f"{pool.name}/{backend.name} {backend.address} {backend.weight}"
        for pool in of.loaded.config.pools
        for backend in pool.backends
    ]


def test_backends_are_added_removed_and_changed_in_the_simple_form() -> None:
    now = changed(
        FILE, change("add", "c", address="10.0.0.4:80", weight=5), change("remove", "a"), change("set", "b", weight=9)
    )
    assert seen(now) == [
        "default/b 10.0.0.2:80 9",
        "default/backend-3 10.0.0.3:80 1",  # its default name, although it is the second in the list now
        "default/c 10.0.0.4:80 5",
    ]


def test_a_pool_is_named_where_there_are_several() -> None:
    now = changed(POOLS, change("set", "a", "raw", weight=4))
    assert seen(now) == ["app/a 10.0.0.1:80 1", "raw/a 10.0.0.9:80 4"]


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        (FILE, change("add", "a", address="h:1"), "admin API: pool default has a backend 'a' already"),
        (FILE, change("remove", "x"), "admin API: pool default has no backend 'x'; it has a, b, backend-3"),
        (FILE, change("set", "x", weight=2), "admin API: pool default has no backend 'x'; it has a, b, backend-3"),
        (FILE, change("set", "a", "app", weight=2), "admin API: there is no pool 'app'; there are default"),
        (POOLS, change("set", "a", weight=2), "admin API: say which pool is meant: app, raw"),
        (FILE, change("set", "a", weight=-1), "admin API: backends[0].weight: -1 is not in 0..65535"),
        (
            FILE,
            change("set", "a", name="z"),
            "admin API: backend 'a' can't be given another name; add one and remove the other",
        ),
        (FILE, change("set", "a", wieght=2), "admin API: backends[0].wieght: unknown key; did you mean 'weight'?"),
        (FILE, change("add", "c"), "admin API: backends[3]: 'address' is missing"),
        (FILE, change("add", "c", address="nonsense"), "admin API: backends[3].address: 'nonsense' has no port"),
        (POOLS, change("remove", "a", "raw"), "admin API: pools.raw.backends: is empty; write at least one backend"),
    ],
)
def test_what_cannot_be_done_is_said_under_the_name_of_who_asked(text: str, asked: BackendChange, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(text, asked)
    assert str(caught.value).startswith(message)
    assert len(caught.value.problems) == 1


def test_problems_of_the_file_keep_their_places_when_backends_go() -> None:
    text = FILE.replace('"10.0.0.3:80"', '"10.0.0.3"')
    with pytest.raises(ConfigError) as caught:
        changed(text, change("remove", "a"))
    assert str(caught.value).startswith("f.yaml:5:15: backends[1].address: '10.0.0.3' has no port")


def test_a_good_file_that_earlier_changes_spoil_is_said_to_be_good() -> None:
    two = FILE.replace('  - {address: "10.0.0.3:80"}\n', "")
    (removal,) = changed(two, change("remove", "a")).kept
    one = two.replace('  - {name: b, address: "10.0.0.2:80"}\n', "")
    with pytest.raises(ConfigError) as caught:
        changed(one, removal)
    assert [str(problem) for problem in caught.value.problems][-1] == (
        "admin API: the file alone is good; laid over it: the removal of backend default/a "
        "(`balance reload --discard-changes` forgets them)"
    )
    with pytest.raises(ConfigError) as caught:
        changed(one.replace("10.0.0.1:80", "10.0.0.1"), removal)  # the file itself is wrong
    assert "discard" not in str(caught.value)


def test_a_change_that_is_made_remembers_what_the_file_said() -> None:
    kept = changed(FILE, change("set", "b", weight=3), change("add", "c", address="h:1")).kept
    assert kept == (
        BackendChange(Verb.SET, "default", "b", '{"weight": 3}', '{"address":"10.0.0.2:80","name":"b"}'),
        BackendChange(Verb.ADD, "default", "c", '{"address": "h:1"}', NOT_IN_FILE),
    )


ALL = (
    change("set", "b", weight=3),
    change("remove", "a"),
    change("add", "c", address="10.0.0.4:80"),
)


def test_what_was_changed_survives_a_file_that_changes_elsewhere() -> None:
    kept = changed(FILE, *ALL).kept
    again = changed(FILE.replace(":8080", ":8081") + '  - {name: d, address: "10.0.0.5:80"}\n', *kept)
    assert again.kept == kept
    assert again.dropped == ()
    assert [line.split()[0] for line in seen(again)] == ["default/b", "default/backend-3", "default/d", "default/c"]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (
            lambda text: text.replace('"10.0.0.2:80"', '"10.0.0.22:80"'),
            "the change of backend default/b (weight 3) is dropped: the file says something new about it",
        ),
        (
            lambda text: text.replace('  - {name: b, address: "10.0.0.2:80"}\n', ""),
            "the change of backend default/b (weight 3) is dropped: the file has no such backend any more",
        ),
        (
            lambda text: text.replace("weight: 2", "weight: 7"),
            "the removal of backend default/a is dropped: the file says something new about it",
        ),
        (
            lambda text: text.replace('  - {name: a, address: "10.0.0.1:80", weight: 2}\n', ""),
            "the removal of backend default/a is dropped: the file has no such backend any more",
        ),
        (
            lambda text: text + '  - {name: c, address: "10.0.0.77:80"}\n',
            "backend default/c, added at run time is dropped: the file has a backend of that name now",
        ),
    ],
)
def test_the_file_wins_about_the_backend_that_it_says_something_new_about(edit: Any, line: str) -> None:
    kept = changed(FILE, *ALL).kept
    again = changed(edit(FILE), *kept)
    assert again.dropped == (line,)
    assert len(again.kept) == 2
    assert len(seen(again)) == len({each.split()[0] for each in seen(again)})


def test_a_change_is_told_without_its_secrets() -> None:
    secret = change("set", "a", "app", metadata={"api-key": "hush", "rack": "r1", "docs": "http://me:hush@h/"}, weight=3)
    assert str(secret) == (
        'the change of backend app/a (metadata {"api-key":"***","docs":"http://***@h/","rack":"r1"}, weight 3)'
    )


def test_changes_of_a_pool_that_is_gone_are_dropped() -> None:
    kept = changed(POOLS, change("set", "a", "raw", weight=3)).kept
    again = changed("\n".join(POOLS.splitlines()[:3]), *kept)
    assert again.dropped == ("the change of backend raw/a (weight 3) is dropped: there is no pool 'raw'; there are app",)
    assert again.kept == ()


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ([change("set", "b", weight=3), change("set", "b", weight=4)], ["set b weight=4"]),
        ([change("set", "b", weight=3), change("set", "b", metadata={"x": "y"})], ["set b metadata={'x': 'y'} weight=3"]),
        ([change("add", "c", address="h:1"), change("set", "c", weight=4)], ["add c address=h:1 weight=4"]),
        ([change("add", "c", address="h:1"), change("remove", "c")], []),
        ([change("set", "b", weight=3), change("remove", "b")], ["remove b"]),
        ([change("remove", "b"), change("add", "b", address="h:1")], ["add b address=h:1"]),
        ([change("remove", "b"), change("add", "b", address="h:1"), change("remove", "b")], ["remove b"]),
        ([change("set", "a", weight=3), change("set", "a", weight=2)], []),  # 2 is the file's value
        ([change("remove", "b"), change("add", "b", address="10.0.0.2:80")], []),  # and so is this
    ],
)
def test_changes_of_one_backend_become_one(changes: list[BackendChange], kept: list[str]) -> None:
    def told(each: BackendChange) -> str:
        values = sorted(json.loads(each.values).items())
        return " ".join([each.verb, each.name, *(f"{key}={value}" for key, value in values)])

    once = changed(FILE, *changes)
    step: tuple[BackendChange, ...] = ()
    for each in changes:  # one at a time, each applied to the result of the one before
        step = changed(FILE, *step, each).kept
    assert [told(each) for each in once.kept] == kept
    assert {(*told(each).split(), each.basis) for each in step} == {(*told(each).split(), each.basis) for each in once.kept}


def test_a_backend_that_replaces_the_files_stands_in_its_place_until_the_file_changes_it() -> None:
    kept = changed(FILE, change("remove", "a"), change("add", "a", address="h:1")).kept
    assert seen(changed(FILE, *kept))[0] == "default/a h:1 1"
    again = changed(FILE.replace("weight: 2", "weight: 4"), *kept)
    assert seen(again)[0] == "default/a 10.0.0.1:80 4"
    assert again.dropped == ("backend default/a, added at run time is dropped: the file says something new about it",)


@pytest.mark.parametrize(
    "text", ["listen: ':1'\n", "backends: 5\n", "pools: 5\n", "pools: {app: 5}\n", "backends: [1, {name: [2]}]\n"]
)
def test_a_document_of_any_shape_is_left_to_those_who_judge_it(text: str) -> None:
    document, _ = read(text, "f.yaml", {})
    apply_changes(document, [change("remove", "a"), BackendChange(Verb.SET, "app", "a", '{"weight": 1}', "{}")])
    with pytest.raises(ConfigError):
        changed(text, change("add", "a", address="h:1"))


NAMES = st.sampled_from("abcd")
CHANGES = st.one_of(
    st.builds(lambda name, port: change("add", name, address=f"h:{port}"), NAMES, st.integers(1, 9)),
    st.builds(lambda name: change("remove", name), NAMES),
    st.builds(lambda name, weight: change("set", name, weight=weight), NAMES, st.integers(1, 9)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(CHANGES, max_size=6))
def test_applying_the_kept_changes_to_the_same_file_gives_the_same_result(changes: list[BackendChange]) -> None:
    kept: tuple[BackendChange, ...] = ()
    last = load_text(FILE, "f.yaml", {}).config
    for each in changes:
        try:
            now = changed(FILE, *kept, each)
        except ConfigError:
            continue
        kept, last = now.kept, now.loaded.config
    again = changed(FILE, *kept)
    assert again.kept == kept
    assert again.dropped == ()
    assert set(again.loaded.config.pools[0].backends) == set(last.pools[0].backends)
    assert len({(each.pool, each.name) for each in kept}) == len(kept)


def test_backends_of_a_route_change_at_run_time_too() -> None:
    text = FILE + "http: {routes: [{name: own, path: /x, backends: [{name: a, address: 'c:1'}]}]}"
    config = changed(text, change("set", "a", "own", weight=7), change("add", "b", "own", address="d:1")).loaded.config
    assert [(backend.name, backend.weight) for backend in config.pool("own").backends] == [("a", 7), ("b", 1)]
