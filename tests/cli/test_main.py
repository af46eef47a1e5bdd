"""The command group: unknown commands, errors, exit statuses."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from balance.cli.main import COMMANDS, INTERRUPTED, cli, run
from balance.errors import StartError
from balance.interpreter import Interpreter
from balance.version import VERSION

BALANCE = [sys.executable, "-m", "balance"]


def ending_with(error: BaseException | None = None, status: int | None = None) -> click.Command:
    @click.command()
    def command() -> int | None:
        if error is not None:
            raise error
        return status

    return command


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["--version"]) == 0
    assert capsys.readouterr().out == f"balance {VERSION}\n{Interpreter.here()}\n"


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys; from balance.cli.main import cli, run; status = run(cli, ['--help']);"
        f"sys.exit(status or any(f'balance.cli.{{name}}' in sys.modules for name in {list(COMMANDS)}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "Examples:" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, [name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: balance {name}" in shown
    assert re.search(rf"\n +(balance[ -])?{name}\b", shown.partition("Example")[2])


def test_mistyped_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["serv"]) == 2
    assert "no command 'serv'; did you mean 'serve'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        pytest.param(ending_with(), 0, "", id="nothing"),
        pytest.param(ending_with(status=3), 3, "", id="a status"),
        pytest.param(ending_with(StartError("port 80 is taken")), 1, "balance: port 80 is taken\n", id="our error"),
        pytest.param(
            ending_with(FileNotFoundError(2, "No such file or directory", "x.yaml")),
            1,
            "balance: [Errno 2] No such file or directory: 'x.yaml'\n",
            id="the system's error",
        ),
        pytest.param(ending_with(KeyboardInterrupt()), INTERRUPTED, "\n", id="Ctrl-C"),
    ],
)
def test_end_of_a_command_is_a_status_and_at_most_a_line(
    command: click.Command, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, []) == status
    assert capsys.readouterr().err == said


def test_bug_shows_its_traceback_only_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(ending_with(ZeroDivisionError("a bug")), []) == 1
    assert "Traceback" not in (shown := capsys.readouterr().err)
    assert "ZeroDivisionError: a bug" in shown
    monkeypatch.setenv("BALANCE_TRACEBACK", "1")
    assert run(ending_with(ZeroDivisionError("a bug")), []) == 1
    assert "Traceback" in capsys.readouterr().err


def test_closed_pipe_is_quiet() -> None:
    quiet = subprocess.Popen([*BALANCE, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert quiet.stdout is not None
    quiet.stdout.close()
    quiet.stdout = None
    _, errors = quiet.communicate(timeout=10)
    assert (quiet.returncode, errors) == (1, "")
