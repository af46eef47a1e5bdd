"""Durations of the command line."""

import click
import pytest

from balance.cli.durations import seconds

CONTEXT, PARAM = click.Context(click.Command("x")), click.Option(["--timeout"])


@pytest.mark.parametrize(("text", "value"), [("30s", 30.0), ("500ms", 0.5), ("2", 2.0), ("0", 0.0), (None, None)])
def test_a_duration_is_written_as_in_a_file(text: str | None, value: float | None) -> None:
    assert seconds(CONTEXT, PARAM, text) == value


@pytest.mark.parametrize("text", ["soon", "", "-1s", "1 fortnight"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        seconds(CONTEXT, PARAM, text)
