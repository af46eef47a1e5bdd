"""`balance validate` and `balance-validate`: checks configuration files and reports every problem.

Exit status: 0 valid, 1 invalid, 2 unreadable.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any, TextIO

import click

from balance.cli.main import run
from balance.config.model import Config, HealthCheck
from balance.errors import ConfigError, Problem

VALID, INVALID, UNREADABLE = 0, 1, 2

EXAMPLE = """\b
Examples:
  balance-validate config.yaml
  balance-validate -config config.yaml -verbose
  balance-validate --format json --check-backends *.yaml
  balance-validate --schema > balance.schema.json
"""


@click.command("validate", epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "-help", "--help"]})
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("-config", "-c", "--config", "configs", multiple=True, metavar="FILE", help="A file to check, too.")
@click.option("-verbose", "-v", "--verbose", is_flag=True, help="Also say what the configuration is.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="For people or for machines.")
@click.option("--check-backends", is_flag=True, help="Also connect to every backend.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a configuration and stop.")
@click.option("--reference", is_flag=True, help="Print the reference of all keys (Markdown) and stop.")
def validate_command(
    files: tuple[str, ...],
    configs: tuple[str, ...],
    verbose: bool,
    style: str,
    check_backends: bool,
    schema: bool,
    reference: bool,
) -> int:
    """Check configuration files: syntax, meaning, the files they name.

    Without a FILE, checks $BALANCE_CONFIG, or config.yaml. Exit status: 0 valid, 1 invalid, 2 unreadable.
    """
    if schema or reference:
        from balance.config import export

        _print(sys.stdout, json.dumps(export.json_schema(), indent=2) if schema else export.reference().rstrip())
        return VALID
    names = [*configs, *files] or [os.environ.get("BALANCE_CONFIG") or "config.yaml"]
    reports = [_check(name, check_backends) for name in names]
    if style == "json":
        shown = [_as_json(report) for report in reports]
        _print(sys.stdout, json.dumps(shown[0] if len(shown) == 1 else shown, indent=2))
    else:
        for report in reports:
            _print_report(report, verbose, named=len(reports) > 1)
    return max(report.status for report in reports)


@dataclass(frozen=True, slots=True)
class FileReport:
    """The result for one file."""

    file: str
    status: int
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    config: Config | None = None
    secured: tuple[str, ...] = ()  # what --check-backends found of TLS to backends, a line for each


def _check(file: str, check_backends: bool) -> FileReport:
    from balance.config import UnreadableError, load_file

    try:
        loaded = load_file(file)
    except UnreadableError as error:
        return FileReport(file, UNREADABLE, error.problems)
    except ConfigError as error:
        return FileReport(file, INVALID, error.problems, error.warnings)
    errors: tuple[Problem, ...] = ()
    secured: tuple[str, ...] = ()
    if check_backends:
        from balance.cli.backend_check import check_backends as connect

        verdicts = connect(loaded)
        errors = tuple(verdict.problem for verdict in verdicts if verdict.problem is not None)
        secured = tuple(f"{verdict.name}: {verdict.tls}" for verdict in verdicts if verdict.tls)
    return FileReport(file, INVALID if errors else VALID, errors, loaded.warnings, loaded.config, secured)


def _print_report(report: FileReport, verbose: bool, *, named: bool) -> None:
    before = f"{report.file}: " if named else ""
    for warning in report.warnings:
        _print(sys.stderr, f"warning: {warning}")
    for line in report.secured:
        _print(sys.stdout, f"{before}TLS to {line}")
    if report.status == VALID:
        _print(sys.stdout, f"{before}✅ Configuration is valid")
    else:
        _print(sys.stderr, f"{before}❌ Configuration validation failed with {len(report.errors)} error(s):")
        for number, problem in enumerate(report.errors, 1):
            _print(sys.stderr, f"  {number}. {problem}")
    if verbose and report.config is not None:
        _print(sys.stdout, "\n" + "\n".join(summary(report.config)))


def summary(config: Config) -> list[str]:
    """A summary of the configuration, in lines."""
    modes = dict.fromkeys(listener.mode.value for listener in config.listeners)
    listens = [str(address) for listener in config.listeners for address in listener.addresses]
    pools = config.pools
    lines = ["Configuration summary:", f"  Mode: {', '.join(modes)}", f"  Listen: {', '.join(listens)}"]
    lines.append(f"  Backends: {sum(len(pool.backends) for pool in pools)}")
    for pool in pools:
        of_pool = f" (pool {pool.name})" if len(pools) > 1 else ""
        lines += [f"    - {backend.name}: {backend.address}, weight {backend.weight}{of_pool}" for backend in pool.backends]
    lines.append(f"  Load Balancer: {', '.join(dict.fromkeys(pool.algorithm for pool in pools))}")
    lines.append(f"  TLS: {_tls(config)}")
    lines.append(f"  Health Checks: {', '.join(dict.fromkeys(_health(pool.health_check) for pool in pools))}")
    lines.append(f"  Admin API: {config.admin.address if config.admin.enabled else 'disabled'}")
    return lines


def _tls(config: Config) -> str:
    secured = [listener.name for listener in config.listeners if listener.tls.enabled]
    towards = [pool for pool in config.pools if any(pool.tls.is_for(backend.scheme) for backend in pool.backends)]
    parts = [f"on {', '.join(secured)}"] if secured else []
    parts += [f"to {pool.name}{'' if pool.tls.verify else ' (not verified)'}" for pool in towards]
    return ", ".join(parts) or "disabled"


def _health(check: HealthCheck) -> str:
    if not check.enabled:
        return "disabled"
    asked = f"{check.kind} {check.path}" if check.kind in ("http", "https") else check.kind
    return f"{asked} every {check.interval_s:g}s"


def _as_json(report: FileReport) -> dict[str, Any]:
    return {
        "file": report.file,
        "valid": report.status == VALID,
        "errors": [_problem_json(problem) for problem in report.errors],
        "warnings": [_problem_json(problem) for problem in report.warnings],
    }


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("file", "line", "column", "path", "message")}


def _print(stream: TextIO, text: str) -> None:
    """Print; characters that the stream can't encode are replaced (a C locale has no tick mark)."""
    encoding = stream.encoding or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = text.replace("✅", "[OK]").replace("❌", "[FAILED]").encode("ascii", "backslashreplace").decode()
    click.echo(text, file=stream)


def main() -> None:
    """The console script `balance-validate`."""
    sys.exit(run(validate_command, name="balance-validate"))


if __name__ == "__main__":  # `python -m balance.cli.validate`: else any file would be good
    main()
