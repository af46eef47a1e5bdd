"""`balance-validate`: output, exit status, and streams with a limited encoding."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balance.cli.main import cli
from balance.cli.validate import validate_command

VALID = 'mode: http\nlisten: ":8080"\nbackends:\n  - {name: a, address: "127.0.0.1:9001"}\n'
WRONG = VALID.replace("http", "htp").replace("name", "nmae")


@pytest.fixture
def valid(tmp_path: Path) -> str:
    return written(tmp_path / "valid.yaml", VALID)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    return written(tmp_path / "wrong.yaml", WRONG)


def written(file: Path, text: str) -> str:
    file.write_text(text)
    return str(file)


def run(*args: str, **env: str) -> Result:
    return CliRunner(env={"BALANCE_CONFIG": None, **env}).invoke(validate_command, args, standalone_mode=False)


def ended(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The console script, as a process of its own."""
    program = "from balance.cli.validate import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *args], capture_output=True, text=True, env=os.environ | env, encoding="utf-8"
    )


@pytest.mark.parametrize("spelling", [(), ("-config",), ("--config",), ("-c",)])
def test_a_valid_file_in_every_spelling(valid: str, spelling: tuple[str, ...]) -> None:
    result = run(*spelling, valid)
    assert (result.return_value, result.stdout) == (0, "✅ Configuration is valid\n")


def test_an_invalid_file_is_a_numbered_list_of_everything_that_is_wrong(wrong: str) -> None:
    result = run("-config", wrong)
    assert (result.return_value, result.stdout) == (1, "")
    assert result.stderr == (
        "❌ Configuration validation failed with 2 error(s):\n"
        f"  1. {wrong}:1:7: mode: 'htp' is not one of tcp, http; did you mean 'http'?\n"
        f"  2. {wrong}:4:6: backends[0].nmae: unknown key; did you mean 'name'?\n"
    )


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    result = run(f"{tmp_path}/none.yaml")
    assert result.return_value == 2
    assert result.stderr.endswith(f"  1. {tmp_path}/none.yaml: can't be read: No such file or directory\n")


@pytest.mark.parametrize("spelling", ["-verbose", "--verbose", "-v"])
def test_verbose_adds_what_the_configuration_is(valid: str, spelling: str) -> None:
    assert run("-config", valid, spelling).stdout == (
        "✅ Configuration is valid\n"
        "\n"
        "Configuration summary:\n"
        "  Mode: http\n"
        "  Listen: :8080\n"
        "  Backends: 1\n"
        "    - a: 127.0.0.1:9001, weight 1\n"
        "  Load Balancer: round-robin\n"
        "  TLS: disabled\n"
        "  Health Checks: disabled\n"
        "  Admin API: 127.0.0.1:9090\n"
    )


def test_warnings_are_shown_and_do_not_fail(tmp_path: Path) -> None:
    file = written(tmp_path / "f.yaml", VALID + "security: {trusted_proxies: [0.0.0.0/0]}\n")
    result = run(file)
    assert (result.return_value, result.stdout) == (0, "✅ Configuration is valid\n")
    assert result.stderr.startswith(f"warning: {file}:5:30: security.trusted_proxies[0]: 0.0.0.0/0 is everybody")


def test_a_mistake_hides_no_warning(tmp_path: Path) -> None:
    text = f"{VALID}health_check: {{enabled: true, interval: 2s}}\nsecurity: {{basic_auth: {{enabled: true}}}}\n"
    done = run(written(tmp_path / "both.yaml", text))
    assert done.return_value == 1
    assert "basic_auth: has no users" in done.output
    assert "warning: " in done.output and "checks of one backend would overlap" in done.output


def test_several_files_each_say_their_name_and_the_worst_decides(valid: str, wrong: str) -> None:
    result = run(valid, wrong)
    assert result.return_value == 1
    assert result.stdout == f"{valid}: ✅ Configuration is valid\n"
    assert result.stderr.startswith(f"{wrong}: ❌ Configuration validation failed with 2 error(s):\n")


def test_json_is_for_machines(valid: str, wrong: str) -> None:
    alone, both = run("--format", "json", wrong), run("--format", "json", valid, wrong)
    assert (alone.return_value, both.return_value) == (1, 1)
    found = json.loads(alone.stdout)
    assert (found["file"], found["valid"], len(found["errors"])) == (wrong, False, 2)
    assert found["errors"][0] == {
        "file": wrong,
        "line": 1,
        "column": 7,
        "path": "mode",
        "message": "'htp' is not one of tcp, http; did you mean 'http'?",
    }
    assert json.loads(both.stdout) == [{"file": valid, "valid": True, "errors": [], "warnings": []}, found]


def test_without_a_file_the_environment_names_it(valid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(BALANCE_CONFIG=valid).return_value == 0
    monkeypatch.chdir(tmp_path)
    assert run().return_value == 2
    written(tmp_path / "config.yaml", VALID)
    assert run().return_value == 0


def test_backends_that_do_not_answer_are_errors_when_asked_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        file = written(tmp_path / "f.yaml", VALID.replace("9001", str(port)))
        assert run("--check-backends", file).return_value == 0
    result = run("--check-backends", file)
    assert result.return_value == 1
    assert f"backends[0]: default.a at 127.0.0.1:{port} can't be reached: Connection refused" in result.stderr


def test_the_schema_and_the_reference_are_printed() -> None:
    assert json.loads(run("--schema").stdout)["title"] == "Balance configuration"
    assert run("--reference").stdout.startswith("# Configuration\n")


def test_it_is_a_command_of_balance_too(valid: str) -> None:
    result = CliRunner().invoke(cli, ["validate", valid], standalone_mode=False)
    assert (result.return_value, result.stdout) == (0, "✅ Configuration is valid\n")


def test_help_has_an_example() -> None:
    assert "balance-validate -config config.yaml -verbose" in run("--help").stdout


def test_the_console_script_ends_with_the_status(valid: str, wrong: str) -> None:
    done = ended("-config", valid, "-verbose")
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, "✅ Configuration is valid", "")
    assert ended(wrong).returncode == 1
    assert ended("/no/such/file").returncode == 2


def test_streams_that_are_not_utf_8_get_words(valid: str, wrong: str) -> None:
    done = ended(valid, wrong, PYTHONIOENCODING="ascii")
    assert done.stdout == f"{valid}: [OK] Configuration is valid\n"
    assert done.stderr.startswith(f"{wrong}: [FAILED] Configuration validation failed with 2 error(s):\n")


def test_run_as_a_module_it_judges_too(tmp_path: Path) -> None:
    (file := tmp_path / "a.yaml").write_text("nonsense: 1\n")
    ended = subprocess.run([sys.executable, "-m", "balance.cli.validate", str(file)], capture_output=True, text=True)
    assert (ended.returncode, "nonsense" in ended.stdout + ended.stderr) == (1, True)
