"""The options that admin commands share."""

import click
import pytest

from balance.cli.admin.admin_options import admin_option, dry_run_option, examples, json_option
from balance.cli.main import run
from balance.client import Client


@click.command(epilog=examples("balance probe", "balance probe --json"))
@dry_run_option
@admin_option
@json_option
def probe(client: Client, is_json: bool, dry_run: bool) -> int:
    click.echo(f"{type(client).__name__} {is_json} {dry_run}")
    return 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Client False False\n"),
        (["--json", "--dry-run", "--admin", "unix:/run/x"], "Client True True\n"),
    ],
)
def test_a_command_knows_where_and_how(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(probe, words) == 0
    assert capsys.readouterr().out == said


def test_an_address_that_is_none_is_a_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(probe, ["--admin", "nonsense"]) == 2
    assert "'nonsense' has no port" in capsys.readouterr().err


def test_examples_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(probe, ["--help"]) == 0
    assert "Examples:\n    balance probe\n    balance probe --json\n" in capsys.readouterr().out
