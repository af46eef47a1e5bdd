"""`tcp-bench` and `latency-test`: one tool with two defaults; a URL is asked by HTTP, HOST:PORT must send back what it gets."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from balance.cli.bench import children, compare, limits, report, result
from balance.cli.bench.plan import UNSENDABLE, Plan, Target, TlsOptions
from balance.cli.bench.progress import ProgressLine
from balance.cli.bench.worker import tls_context
from balance.cli.durations import seconds
from balance.cli.main import INTERRUPTED
from balance.cli.main import run as run_command
from balance.config.cpus import cpu_count
from balance.config.schema.units import size_bytes
from balance.errors import StartError

DEFAULT_TARGET: Final = "127.0.0.1:8080"
TCP_REQUESTS: Final = 10_000
TCP_SIZE: Final = 64
TEST_DURATION_S: Final = 10.0
WARMUP_SHARE: Final = 0.1
LONGEST_WARMUP_S: Final = 1.0
FIELD_NAME: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")

Command = TypeVar("Command", bound=Callable[..., Any])


def size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return size_bytes(int(value) if value.isdecimal() else value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def http_fields(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    fields = []
    for text in value:
        name, colon, content = text.partition(":")
        content = content.strip()
        if not colon or not name or not {*name.lower()} <= FIELD_NAME or any(each in content for each in "\r\n\0"):
            raise click.BadParameter(f"{text!r} is no field; write one like -H 'Accept: text/html'", ctx, param)
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise click.BadParameter(f"{name} is this tool's own; say -s or --no-keepalive", ctx, param)
        fields.append((name, content))
    return tuple(fields)


def process_count(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """0 is auto."""
    if value == "auto":
        return 0
    if value.isdecimal() and 1 <= int(value) <= 256:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 to 256", ctx, param)


OPTIONS: Final = (
    click.option("-c", "--connections", type=click.IntRange(1, 1_000_000), help="Connections at once."),
    click.option("-n", "--requests", type=click.IntRange(1), help="End after so many requests."),
    click.option("-d", "--duration", "duration_s", metavar="DURATION", callback=seconds, help="End after so long (30s, 2m)."),
    click.option("-s", "--size", metavar="SIZE", callback=size, help="Bytes that each request sends (HTTP: as its body)."),
    click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="Open loop: N requests a second, each "
                 "timed from when it was planned. Without it a connection sends its next request when it has its reply."),
    click.option("--warmup", "warmup_s", metavar="DURATION", callback=seconds, help="What is sent first and not counted. "
                 "[default: a tenth of -d, at most 1s; none with -n alone]"),
    click.option("--no-keepalive", "is_keepalive", is_flag=True, flag_value=False, default=True,
                 help="A connection for each request; what connecting takes is in its latency."),
    click.option("--timeout", "timeout_s", metavar="DURATION", callback=seconds, default="10s", show_default=True,
                 help="How long a reply is waited for."),
    click.option("--processes", metavar="N|auto", callback=process_count, default="auto", show_default=True,
                 help="Processes that make the load; auto is half of the CPUs."),
    click.option("--reply-size", metavar="SIZE", callback=size, help="TCP: bytes of each reply, where the server is no echo."),
    click.option("-X", "--method", default="GET", show_default=True, metavar="METHOD", help="HTTP: the method."),
    click.option("-H", "--header", "fields", multiple=True, callback=http_fields, metavar="'NAME: VALUE'",
                 help="HTTP: a field."),
    click.option("--cacert", "ca_file", type=click.Path(exists=True, dir_okay=False), help="https: whom to trust."),
    click.option("-k", "--insecure", is_flag=True, help="https: trust any certificate."),
    click.option("--cert", "certificate", type=click.Path(exists=True, dir_okay=False), help="https: a client certificate."),
    click.option("--key", type=click.Path(exists=True, dir_okay=False), help="https: its key, where --cert has none."),
    click.option("--servername", help="https: the name to ask for and to verify. [default: the host]"),
    click.option("--json", "is_json", is_flag=True, help="Print the result as JSON."),
    click.option("-o", "--output", type=click.Path(dir_okay=False, writable=True), help="Append the JSON to a file, too."),
    click.option("--compare", "files", nargs=2, type=click.Path(exists=True, dir_okay=False), metavar="A.json B.json",
                 help="Compare what two files have, and say what is noise."),
)  # fmt: skip


def bench_options(command: Command) -> Command:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command(
    "tcp-bench",
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tcp-bench -c 100 -n 10000 localhost:8080
  tcp-bench -c 1000 -d 30s -s 16KB 10.0.0.5:9000
  tcp-bench -c 100 -d 30s --rate 20000 -o after.json localhost:8080
  tcp-bench --compare before.json after.json

Exit status: 0 all was answered; 1 something was not, or the rate was not reached; 2 usage; 130 Ctrl-C.
""",
)
@click.argument("target", metavar="[HOST:PORT]", default=DEFAULT_TARGET)
@bench_options
def tcp_bench_command(**given: Any) -> int:
    """How much a TCP server, or what balances over it, can take: sends bytes and reads them back. The server must be an echo,
    or every reply be --reply-size long. An http:// URL is measured as latency-test does."""
    if given["connections"] is None:
        given["connections"] = 100
    if given["requests"] is None and given["duration_s"] is None:
        given["requests"] = TCP_REQUESTS
    return bench(**given)


@click.command(
    "latency-test",
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  latency-test -c 10 -d 30s http://localhost:8080/
  latency-test -c 200 -d 30s --rate 5000 https://localhost:8443/ --cacert ca.pem
  latency-test -c 10 -d 10s localhost:9000
  latency-test -c 10 -d 30s -o before.json http://localhost:8080/
  latency-test --compare before.json after.json

Exit status: 0 all was answered; 1 something was not, or the rate was not reached; 2 usage; 130 Ctrl-C.
""",
)
@click.argument("target", metavar="URL|HOST:PORT", required=False)
@bench_options
def latency_test_command(**given: Any) -> int:
    """How long a server lets clients wait: percentiles and the distribution. A URL is asked by HTTP; HOST:PORT gets bytes that
    it must send back (an echo, or replies of --reply-size)."""
    if given["target"] is None and not given["files"]:
        raise click.UsageError("say what to test: a URL, or HOST:PORT")
    if given["connections"] is None:
        given["connections"] = 10
    if given["requests"] is None and given["duration_s"] is None:
        given["duration_s"] = TEST_DURATION_S
    return bench(**given)


def bench(*, files: tuple[str, str] | None, is_json: bool, output: str | None, **given: Any) -> int:
    """Run, or compare what was run. Returns the exit status."""
    if files:
        a, b = (compare.runs_of(Path(each)) for each in files)
        click.echo(json.dumps(compare.document(a, b), indent=2) if is_json else "\n".join(compare.lines(a, b)))
        return 0
    plan = plan_of(**given)
    if plan.target.is_tls:
        try:
            tls_context(plan.tls)  # said once, before each process would
        except OSError as error:
            raise StartError(f"the TLS files can't be used: {error.strerror or error}") from None
    limits.check_limits(plan)
    address = limits.reachable_address(plan)
    line = ProgressLine(plan)
    try:
        results, is_interrupted = children.run(plan, address, line.show)
    finally:
        line.clear()
    if not results:
        return INTERRUPTED
    document = result.summed(plan, results, is_interrupted)
    if output is not None:
        with open(output, "a") as file:
            file.write(json.dumps(document) + "\n")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    click.echo(json.dumps(document) if is_json else "\n".join(report.lines(document, width)))
    if is_interrupted:
        return INTERRUPTED
    return 1 if result.is_failed(document) else 0


def plan_of(
    *,
    target: str,
    connections: int,
    requests: int | None,
    duration_s: float | None,
    size: int | None,
    rate: float | None,
    warmup_s: float | None,
    is_keepalive: bool,
    timeout_s: float,
    processes: int,
    reply_size: int | None,
    method: str,
    fields: tuple[tuple[str, str], ...],
    ca_file: str | None,
    insecure: bool,
    certificate: str | None,
    key: str | None,
    servername: str | None,
) -> Plan:
    """What the arguments mean together; click.UsageError where they mean nothing."""
    try:
        server = Target.parse(target)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if duration_s is not None and duration_s <= 0:
        raise click.UsageError("-d must be longer than 0")
    if timeout_s <= 0:
        raise click.UsageError("--timeout must be longer than 0")
    if server.is_http:
        if reply_size is not None:
            raise click.UsageError("--reply-size is for HOST:PORT; replies over HTTP say their own length")
        if method.upper() in UNSENDABLE or not method.isalpha():
            raise click.UsageError(f"-X {method}: a method that is neither {' nor '.join(UNSENDABLE)}")
    else:
        if fields or method != "GET":
            raise click.UsageError("-H and -X are for HTTP; give a URL that begins with http:// or https://")
        if (TCP_SIZE if size is None else size) == 0 or reply_size == 0:
            raise click.UsageError("nothing to send, or nothing to wait for: -s and --reply-size are at least 1")
    if not server.is_tls and (ca_file or insecure or certificate or key or servername):
        raise click.UsageError("--cacert, --insecure, --cert, --key and --servername are for https://")
    if key and not certificate:
        raise click.UsageError("--key is the key of --cert, which is missing")
    if warmup_s is None:
        warmup_s = 0.0 if requests is not None else min(LONGEST_WARMUP_S, (duration_s or 0.0) * WARMUP_SHARE)
    most = min(connections, requests or connections)
    return Plan(
        target=server,
        connections=connections,
        requests=requests,
        duration_s=duration_s,
        warmup_s=warmup_s,
        rate=rate,
        is_keepalive=is_keepalive,
        timeout_s=timeout_s,
        size=(0 if server.is_http else TCP_SIZE) if size is None else size,
        reply_size=reply_size,
        method=method.upper(),
        fields=fields,
        tls=TlsOptions(ca_file, not insecure, certificate, key, servername),
        processes=min(processes or max(cpu_count() // 2, 1), most),
    )


def tcp_bench() -> None:
    """The console script `tcp-bench`."""
    sys.exit(run_command(tcp_bench_command, name="tcp-bench"))


def latency_test() -> None:
    """The console script `latency-test`."""
    sys.exit(run_command(latency_test_command, name="latency-test"))
