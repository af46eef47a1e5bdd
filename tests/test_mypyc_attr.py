"""What a class says to the compiler changes nothing of it where Python runs it."""

from balance.mypyc_attr import mypyc_attr


class Plain:
    pass


def test_the_class_stays_as_it_is() -> None:
    before = dict(vars(Plain))
    assert mypyc_attr(allow_interpreted_subclasses=True)(Plain) is Plain
    assert vars(Plain) == before
