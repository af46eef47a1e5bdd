"""What is held lives as long as its holder."""

from __future__ import annotations

import weakref

from balance.holder import Holder


class Told:
    def __init__(self, ended: list[str]) -> None:
        self._ended = ended

    def __del__(self) -> None:
        self._ended.append("gone")


def test_what_is_held_is_found_while_somebody_has_the_holder_and_goes_with_it_at_once() -> None:
    ended: list[str] = []
    known: weakref.WeakValueDictionary[str, Holder[Told]] = weakref.WeakValueDictionary()
    holder = known["a"] = Holder(Told(ended))
    assert known["a"] is holder
    assert ended == []
    del holder
    assert ended == ["gone"]
    assert "a" not in known
