"""Click callback for durations in the format of configuration files."""

from __future__ import annotations

import click

from balance.config.schema.units import duration_s


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """The duration in seconds; None stays None."""
    if value is None:
        return None
    try:
        return duration_s(int(value) if value.isdecimal() else value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
