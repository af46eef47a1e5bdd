"""`balance explain WORD`: asks nobody, so it also works where no instance runs."""

from __future__ import annotations

import re
from pathlib import Path

import click

from balance.cli.explain import pages
from balance.cli.explain.lookup import Explanation, close_to, explain

UNKNOWN = 1
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")  # of Markdown

EXAMPLE = """\b
Examples:
  balance explain no_healthy
  balance explain ttfb_ms
  balance explain 502
"""


@click.command("explain", epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="WORD...")
@click.option("--write", "folder", type=click.Path(file_okay=False, exists=True), metavar="DIR", hidden=True)
def explain_command(words: tuple[str, ...], folder: str | None) -> int:
    """Say what a word means and what to do: a why, a retry word, a field of a log, a metric, an event, an alert, a status."""
    if folder is not None:
        for path in pages.rewrite(Path(folder)):
            click.echo(f"{path} is made anew")
        return 0
    if not words:
        raise click.UsageError("say which word, like: balance explain no_healthy")
    status = 0
    for word in words:
        found = explain(word)
        for each in found:
            _show(each)
        if not found:
            close = close_to(word)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            click.echo(f"nothing here is called {word!r}{hint}", err=True)
            status = UNKNOWN
    return status


def _show(found: Explanation) -> None:
    click.echo(f"{found.kind} {found.word}" + (f": {_plain(found.meaning)}" if found.meaning else ""))
    for name, text in found.remarks:
        if text:
            click.echo(f"  {name + ':':8}{_plain(text)}")


def _plain(text: str) -> str:
    """Without the marks of Markdown; a command has none that are meant for it."""
    return _LINK.sub(r"\1", text).replace("`", "")
