"""Paths of values, and values that came from elsewhere."""

import pytest

from balance.config.reading.document import Document, Mark, path_text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("backends", 1, "weight"), "backends[1].weight"),
        (("pools", "a b", "x\ny"), "pools.a b.'x\\ny'"),
        (("", "x"), "''.x"),
    ],
)
def test_a_path_is_shown_on_one_line(path: tuple[str | int, ...], text: str) -> None:
    assert path_text(path) == text


def written() -> Document:
    return Document(
        "f.yaml",
        data={"http": {"limits": {"body": 5}}, "backends": [{"name": "a"}]},
        values={(): Mark(1, 1), ("http",): Mark(2, 3), ("http", "limits"): Mark(3, 5), ("http", "limits", "body"): Mark(3, 11)},
        keys={("http", "limits", "body"): Mark(3, 5)},
    )


def test_a_problem_is_at_the_value_at_its_key_or_at_what_is_around_it() -> None:
    document, path = written(), ("http", "limits", "body")
    assert str(document.problem(path, "wrong")) == "f.yaml:3:11: http.limits.body: wrong"
    assert str(document.problem(path, "wrong", of_key=True)) == "f.yaml:3:5: http.limits.body: wrong"
    assert str(document.problem((*path[:2], "head"), "wrong")) == "f.yaml:3:5: http.limits.head: wrong"
    assert str(document.problem(("nowhere",), "wrong")) == "f.yaml:1:1: nowhere: wrong"


def test_what_was_put_in_is_reported_under_the_name_of_who_put_it() -> None:
    document = written()
    document.put(("logging", "level"), "loud", "BALANCE_LOG_LEVEL")
    document.put(("http", "limits", "body"), -1, "--body")
    assert document.data["logging"] == {"level": "loud"}
    assert str(document.problem(("logging", "level"), "wrong")) == "BALANCE_LOG_LEVEL: logging.level: wrong"
    assert str(document.problem(("http", "limits", "body"), "wrong")) == "--body: wrong"


def test_putting_below_what_is_no_section_leaves_the_mistake_to_be_reported() -> None:
    document = Document("f.yaml", data={"logging": 5})
    document.put(("logging", "level"), "info", "BALANCE_LOG_LEVEL")
    assert document.data == {"logging": 5}


def test_a_moved_value_takes_its_place_along() -> None:
    document = written()
    assert document.move(("http", "limits", "body"), ("new", "home")) is None
    assert document.data["new"] == {"home": 5}
    assert document.data["http"] == {"limits": {}}
    assert str(document.problem(("new", "home"), "wrong")) == "f.yaml:3:11: new.home: wrong"


def test_a_value_is_broken_by_what_is_in_it_and_around_it() -> None:
    document = written()
    document.broken.add(("backends", 0, "name"))
    assert document.is_broken(("backends",))
    assert document.is_broken(("backends", 0, "name", "x"))
    assert not document.is_broken(("backends", 1))


def test_items_that_move_take_their_places_with_them() -> None:
    document = Document(
        "f.yaml",
        data={"backends": [{"name": "a"}, {"name": "b"}]},
        values={(): Mark(1, 1), ("backends", 0, "name"): Mark(2, 9), ("backends", 1, "name"): Mark(3, 9)},
        keys={("backends", 1, "name"): Mark(3, 3)},
        origins={("backends", 0): "admin API"},
        broken={("backends", 0), ("backends", 1, "x")},
    )
    document.renumber(("backends",), {1: 0})
    assert document.values == {(): Mark(1, 1), ("backends", 0, "name"): Mark(3, 9)}
    assert document.keys == {("backends", 0, "name"): Mark(3, 3)}
    assert document.origins == {}
    assert document.broken == {("backends", 0, "x")}
