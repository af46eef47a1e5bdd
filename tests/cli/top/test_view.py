"""What keys do."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from state_server import OUT, backend, state

from balance.cli.top.view import Ask, Question, View


def view(*backends: dict[str, Any]) -> View:
    found = View()
    found.update(state(*(backends or (backend(1), backend(2, **OUT), backend(3, "shop")))), {})
    return found


def press(found: View, *keys: str) -> Ask | None:
    asked = None
    for key in keys:
        asked = found.press(key, 10)
    return asked


def test_the_selection_is_of_a_name_wherever_it_stands() -> None:
    found = view()
    press(found, "down")
    assert found.selected == "app/b2"
    found.update(state(backend(2), backend(1), backend(0)), {})
    assert found.selected == "app/b2" and found.place == 2
    found.update(state(backend(1), backend(5)), {})
    assert found.selected == "app/b1"
    press(found, "end", "down", "G")
    assert found.selected == "app/b5"
    press(found, "home", "up", "k")
    assert found.selected == "app/b1"


def test_the_window_follows_the_selection() -> None:
    found = view(*(backend(number) for number in range(100)))
    assert [row.name for row in found.scroll(3)] == ["app/b0", "app/b1", "app/b2"]
    press(found, "pagedown")
    assert [row.name for row in found.scroll(3)] == ["app/b8", "app/b9", "app/b10"]
    press(found, "up")
    assert found.scroll(3)[0].name == "app/b8"
    press(found, "end")
    assert found.scroll(3)[-1].name == "app/b99"
    found.filter = "b1"
    found.arrange()
    assert found.scroll(50)[0].name == "app/b1"


def test_an_order_is_asked_for_and_confirmed() -> None:
    found = view()
    press(found, "j")
    assert press(found, "d") is Ask.PREVIEW
    assert isinstance(found.question, Question)
    assert (found.question.key, found.question.state, found.question.version) == ("app/b2", "drain", "v2")
    assert found.question.outlook == "1 of 1 others of pool app take its requests; 0 under way there may end."
    assert press(found, "x", "j", "d", "enter") is None
    assert found.question is not None and found.selected == "app/b2"
    assert press(found, "y") is Ask.ORDER
    assert press(found, "n", "y") is None  # it is on its way
    assert press(found, "q") is Ask.QUIT


def test_an_order_that_is_not_confirmed_is_none() -> None:
    for key in ("n", "escape", "q", "N"):
        found = view()
        press(found, "m")
        assert press(found, key) is None
        assert (found.question, found.message) == (None, "app/b1 is left as it is")


def test_draining_the_last_is_said_in_capitals() -> None:
    found = view()
    press(found, "d")
    assert found.question is not None and found.question.outlook.startswith("NOBODY ELSE of pool app takes traffic")


def test_no_order_where_it_makes_no_sense() -> None:
    found = view()
    press(found, "p")
    assert press(found, "d") is None and "an order is for a backend" in found.message
    found = view()
    found.lost = "x"
    assert press(found, "e") is None and "no contact" in found.message
    found = View()
    assert press(found, "d") is None and found.question is None
    found = view()
    found.update(state(backend(1)) | {"viewer": {"may_change": False}}, {})
    assert press(found, "d") is None and "the token here may read alone" in found.message


def test_letters_of_a_filter_are_no_orders() -> None:
    found = view()
    assert press(found, "/", "q", "d", "?", "p") is None
    assert (found.filter, found.is_help, found.is_pools, found.question) == ("qd?p", False, False, None)
    press(found, "backspace", "up", "resize", "\x07", "enter")
    assert (found.filter, found.is_typing) == ("qd?", False)
    press(found, "escape")
    assert found.filter == "" and len(found.rows) == 3


def test_pools_lead_to_their_backends_and_back() -> None:
    found = view()
    press(found, "s", "s", "s", "s", "p")
    assert found.is_pools and found.sort == ""  # pools have no weight
    press(found, "end", "enter")
    assert [row.name for row in found.rows] == ["shop/b3"]
    press(found, "p")
    assert found.selected == "shop"
    press(found, "enter", "escape")
    assert len(found.rows) == 3


def test_help_ends_with_any_key() -> None:
    found = view()
    press(found, "?", "d")
    assert (found.is_help, found.question) == (False, None)
    assert press(found, "?", "q") is Ask.QUIT


KEYS = [*"qjkgGsSrp/?dmeynx<>", "up", "down", "enter", "escape", "pageup", "pagedown", "f1", "", "unknown"]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(KEYS)))
def test_no_keys_confuse_it(keys: list[str]) -> None:
    found = view()
    for key in keys:
        found.press(key, 3)
        if found.question is not None and not found.question.is_asked:
            found.question = None
        assert found.scroll(3) or not found.rows
