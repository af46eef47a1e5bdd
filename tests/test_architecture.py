"""What ARCHITECTURE promises about the shape of the tree, held by the tree itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "balance"
SOURCES = sorted(PACKAGE.rglob("*.py"))

TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "balance",
    "benchmarks",
    "cmd",
    "deployments",
    "docs",
    "pyproject.toml",
    "tests",
}

# Modules whose claims are tested through another's door, with the file that does it.
TESTED_ELSEWHERE = {
    "admin/autoscaling/documents": "admin/autoscaling/test_autoscaler_endpoints.py",
    "admin/autoscaling/state": "admin/autoscaling/test_autoscaler_endpoints.py",
    "admin/metrics/definitions/autoscaler": "admin/autoscaling/test_autoscaler_endpoints.py",
    "admin/metrics/families/autoscaler": "admin/autoscaling/test_autoscaler_endpoints.py",
    "autoscaling/decision": "autoscaling/test_autoscaling_decision.py",
    "autoscaling/settings": "config/checking/scaling/test_autoscaler_errors.py",
    "config/schema/values/autoscaler_section": "config/checking/scaling/test_autoscaler_errors.py",
    "grpc/content_type": "grpc/test_web_frames.py",
    "grpc/own_reply": "grpc/test_grpc_statuses.py",
    "grpc/status_message": "grpc/test_grpc_statuses.py",
    "proxy/http/grpc/field_lookup": "proxy/http/grpc/test_call.py",
    "proxy/http/grpc/text_upload": "proxy/http/grpc/test_call.py",
    "proxy/http/grpc/web_encoder": "proxy/http/grpc/test_call.py",
    "http2/flow/credit": "http2/test_http2_session.py",
    "http2/errors": "http2/test_http2_session.py",
    "http2/hpack/field_encoder": "http2/hpack/test_field_decoder.py",
    "http2/frames": "http2/test_http2_session.py",
    "http2/handler": "http2/test_http2_session.py",
    "http2/hpack/field": "http2/hpack/test_field_decoder.py",
    "http2/hpack/tail": "http2/hpack/test_request_tails.py",
    "http2/hpack/huffman": "http2/hpack/test_field_decoder.py",
    "http2/frame_reader": "http2/test_http2_session.py",
    "http2/message_fields": "http2/test_request_head.py",
    "http2/offences": "http2/test_session_floods.py",
    "http2/hpack/static_table": "http2/hpack/test_field_decoder.py",
    "http2/settings": "http2/test_http2_session.py",
    "http2/stream": "http2/test_http2_session.py",
    "http2/stream_ids": "http2/test_http2_session.py",
    "proxy/net/polled_dial": "proxy/net/test_polled_transport.py",
    "proxy/net/transport_poll": "proxy/net/test_polled_transport.py",
    "proxy/tcp/bulk_end": "proxy/net/test_splice_pipe.py",
    "proxy/http/ends/connected_client": "proxy/http/test_client.py",
    "proxy/http/ends/exchange_client": "proxy/http/test_client.py",
    "proxy/http/ends/message_writer": "proxy/http/test_reply_writer.py",
    "proxy/http2/request_text": "proxy/http2/test_client_stream.py",
    "proxy/http2/stream_writer": "proxy/http2/test_client_stream.py",
    "process/control/autoscaling/coordination": "process/control/autoscaling/test_pool_autoscaler.py",
    "process/control/autoscaling/driver": "process/control/autoscaling/test_pool_autoscaler.py",
    "process/control/autoscaling/keeper": "process/control/autoscaling/test_process_driver_instance.py",
    "process/control/autoscaling/keeper_client": "process/control/autoscaling/test_process_driver_instance.py",
    "process/control/autoscaling/process_driver": "process/control/autoscaling/test_process_driver_instance.py",
    "process/control/autoscaling/started_endpoints": "process/control/autoscaling/test_process_driver_instance.py",
    "discovery/answer": "discovery/test_discovery_endpoint.py",
    "admin/discovery": "admin/test_discovery_view.py",
    "discovery/discovered_pool": "config/overrides/test_discovered.py",
    "process/control/discovery/change_log": "process/control/discovery/test_discoverer.py",
    "discovery/settings": "config/reading/test_discovery_settings.py",
    "config/schema/values/discovery_section": "config/reading/test_discovery_settings.py",
    "tracing/http_spans": "proxy/http/test_traced.py",
    "tracing/request_trace": "tracing/test_trace_start.py",
    "proxy/tracing/worker_tracing": "proxy/tracing/test_tracer.py",
    "config/schema/values/tracing_section": "config/checking/test_tracing_findings.py",
    "__main__": "cli/test_main.py",
    "proxy/authorizing/authorizer_connection": "proxy/authorizing/test_authorizer.py",
    "stages/security/authorization": "stages/security/test_forward_auth.py",
    **{
        f"admin/metrics/definitions/{name}": "admin/metrics/test_catalog.py"
        for name in (
            "aliases",
            "backends",
            "connections",
            "discovery",
            "program",
            "redis",
            "requests",
            "routes",
            "tls",
            "tracing",
        )
    },
    **{
        f"admin/metrics/families/{name}": "admin/metrics/test_exposition.py"
        for name in ("backends", "breakers", "connections", "processes", "program", "requests", "routes", "tls", "tracing")
    },
    "admin/metrics/definition": "admin/metrics/test_catalog.py",
    "admin/metrics/families/aliases": "admin/metrics/test_metrics_keys.py",
    "admin/metrics/families/features": "admin/metrics/test_feature_counts.py",
    "admin/metrics/families/histograms": "admin/metrics/test_metrics_keys.py",
    "admin/metrics/families/discovery": "admin/metrics/test_discovery_metrics.py",
    "admin/metrics/families/redis": "admin/metrics/test_shared_limits.py",
    "admin/metrics/family": "admin/metrics/test_exposition.py",
    "admin/metrics/scrape": "admin/metrics/test_exposition.py",
    "config/schema/values/metrics_section": "admin/metrics/test_metrics_keys.py",
    "config/checking/pool_users": "config/checking/test_route_errors.py",
    "config/reading/tls_files": "config/reading/test_tls_settings.py",
    "config/schema/values/tls_sections": "config/reading/test_tls_settings.py",
    "tls/settings": "tls/test_contexts.py",
    "process/control/file_watcher": "process/test_privileges.py",
    "config/checking/rate_limit_warnings": "config/test_rate_limit_build.py",
    "config/schema/rate_limit_section": "config/test_rate_limit_build.py",
    "process/control/discovery/dns_client": "process/control/discovery/test_dns_source.py",
    "rate_limiting/exchange_script": "shared_store/test_redis_rate_limits.py",
    "rate_limiting/key_slots": "rate_limiting/test_bucket_table.py",
    "rate_limiting/moved_keys": "stages/rate_limits/test_rate_limit_stage.py",
    "stages/rate_limits/limit_key": "stages/rate_limits/test_rate_limit_stage.py",
    "rate_limiting/limiter": "rate_limiting/test_token_bucket.py",
    "config/schema/common_sections": "config/schema/test_schema.py",
    "config/schema/values/inner_error": "config/reading/test_decoding.py",
    "config/schema/values/policy_values": "config/checking/test_route_errors.py",
    "config/schema/values/route_values": "config/checking/test_route_errors.py",
    "config/schema/values/transform_values": "config/checking/test_route_errors.py",
    "config/schema/policy_sections": "config/test_route_build.py",
    "config/schema/route_sections": "config/test_route_build.py",
    "config/schema/security_sections": "config/test_security_build.py",
    "config/schema/values/security_values": "config/checking/test_security_errors.py",
    "config/reading/security_files": "config/checking/test_security_errors.py",
    "config/schema/section": "config/schema/test_schema.py",
    "config/schema/transform_sections": "config/test_route_build.py",
    "cli/bench/children": "cli/bench/test_bench_command.py",
    "cli/bench/short_connection": "cli/bench/test_bench_load.py",
    "cli/bench/worker": "cli/bench/test_bench_command.py",
    "cli/test_backend/pages": "cli/test_backend/test_test_backend_command.py",
    "cli/test_backend/tcp_echo": "cli/test_backend/test_test_backend_command.py",
    "cli/test_backend/server": "cli/test_backend/test_test_backend_command.py",
    "config/common_model": "config/test_config_model.py",
    "config/route_model": "config/test_route_order.py",
    "process/ipc/messages": "process/operations/test_reload.py",
    "process/operations/operation": "process/operations/test_rolling_restart.py",
    "process/supervisor/descriptor_needs": "process/test_descriptor_limits.py",
    "proxy/mirroring/mirror_connection": "proxy/mirroring/test_copy_queue.py",
    "proxy/http/exchange/account": "proxy/test_access_log.py",
    "proxy/access_records": "proxy/test_access_log.py",
    "config/checking/log_errors": "config/checking/test_log_checks.py",
    "config/schema/values/log_values": "config/checking/test_log_checks.py",
    "proxy/log_outputs/output": "proxy/log_outputs/test_file_output.py",
    "log_lines/access_record": "log_lines/test_line_formats.py",
    "proxy/http/connect": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/backend_choice": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/deadlines": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/early_ends": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/ending": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/exchange_state": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/reply_body": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/reply_head": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/buffered_start": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/tries": "proxy/http/exchange/test_exchange.py",
    "proxy/http/exchange/queue_wait": "proxy/net/test_queue_timer.py",
    "proxy/http/request_head": "proxy/test_forwarded.py",
    "proxy/http/upgrade": "proxy/test_upgrades.py",
    "proxy/net/tls_dial": "proxy/http/test_tls_upstream.py",
    "process/worker/shared_store": "process/test_sessions_across_machines.py",
    "runtime/sessions/session_lookup": "runtime/sessions/test_affinity.py",
    "runtime/sessions/session_store": "runtime/sessions/test_shared_sessions.py",
    "shared_store/moved_channel": "shared_store/test_redis_sessions.py",
    "shared_store/redis_connection": "shared_store/test_redis_sessions.py",
    "cli/top/command": "cli/top/test_top_command.py",
    "cli/top/lines": "cli/top/test_screen.py",
    "cli/top/table": "cli/top/test_screen.py",
    "cli/top/terminal": "cli/top/test_top_command.py",
    "client/documents": "client/test_client_client.py",
    "client/reader": "client/test_client_client.py",
    "client/transport": "client/test_client_client.py",
    "cli/admin/refusals": "cli/admin/test_admin_access.py",
    "cli/admin/route_commands": "admin/test_admin_routes.py",
    "admin/serving/tls_handshake": "admin/serving/test_serving_acceptor.py",
    "config/checking/admin_errors": "config/reading/test_admin_settings.py",
    "config/schema/values/admin_sections": "config/reading/test_admin_settings.py",
    "security/settings": "config/test_security_build.py",
    "stages/environment": "runtime/test_routes.py",
    "stages/request_context": "proxy/http/routed/test_routing.py",
    "stages/stage": "proxy/http/routed/test_routing.py",
    "version": "cli/test_main.py",
}

# What a worker must not pay for: megabytes and start-up time that traffic never uses.
NOT_IN_A_WORKER = ("aiodns", "click", "prometheus_client", "pydantic", "redis", "starlette", "uvicorn", "yaml")
# What the supervisor has, workers have, too: they are forked from it.
NOT_IN_THE_SUPERVISOR = tuple(name for name in NOT_IN_A_WORKER if name != "click")
NOT_IN_CONTROL = ("aiodns", "prometheus_client", "pydantic", "redis", "yaml")  # the second comes with the first scrape


def module_name(source: Path) -> str:
    return ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run from the root, as a user of a clone would."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)


def test_cmd_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "cmd" / "__init__.py").exists()
    assert not (ROOT / "cmd" / "balance.py").exists()
    done = python("import pdb; pdb.Pdb")
    assert done.returncode == 0, done.stderr


def test_packages_named_in_pyproject_are_the_packages() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        named = tomllib.load(file)["tool"]["setuptools"]["packages"]
    assert sorted(named) == sorted(module_name(source) for source in SOURCES if source.name == "__init__.py")


def test_top_level_holds_only_what_a_reader_expects() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {path.partition("/")[0] for path in tracked.split("\0") if path} <= TOP_LEVEL


def test_imports_go_down_only() -> None:
    done = python("from importlinter.cli import lint_imports; raise SystemExit(lint_imports())")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("source", SOURCES, ids=module_name)
def test_module_opens_with_what_it_decides(source: Path) -> None:
    assert ast.get_docstring(ast.parse(source.read_text()))


def test_worker_imports_nothing_that_only_others_need() -> None:
    traffic = [
        module_name(source)
        for source in SOURCES
        if source.relative_to(PACKAGE).parts[0] in ("http1", "balancing", "runtime", "proxy")
    ]
    done = python(
        "import importlib, sys\n"
        f"for name in {['balance.process.worker.worker', *traffic]}: importlib.import_module(name)\n"
        f"print(*(name for name in {NOT_IN_A_WORKER} if name in sys.modules))"
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("balance.cli.serve", NOT_IN_THE_SUPERVISOR),
        ("balance.process.instance", NOT_IN_A_WORKER),
        ("balance.process.control.control", NOT_IN_CONTROL),
    ],
)
def test_process_that_stays_imports_nothing_that_others_need(module: str, absent: tuple[str, ...]) -> None:
    """What reads a configuration is needed for a moment, by a process of its own, and weighs 15 MB."""
    done = python(f"import sys, {module}; print(*(name for name in {absent} if name in sys.modules))")
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_tests_mirror_the_package() -> None:
    untested = []
    for source in SOURCES:
        if source.name == "__init__.py":
            continue
        place = source.relative_to(PACKAGE)
        # Test files need unique names, so that a stem which two folders share carries its folder's name.
        names = [f"test_{place.stem}.py", f"test_{place.parent.name}_{place.stem}.py"]
        elsewhere = TESTED_ELSEWHERE.get(str(place.with_suffix("")))
        files = [ROOT / "tests" / place.parent / name for name in names]
        if elsewhere is not None:
            files = [ROOT / "tests" / elsewhere]
        if not any(file.is_file() for file in files):
            untested.append(str(place))
    assert untested == []


def test_no_two_files_of_tests_have_one_name() -> None:
    """Without packages pytest imports them by their names alone; run together, one of two would be left out."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_modules_tested_elsewhere_exist() -> None:
    assert [name for name in TESTED_ELSEWHERE if not (PACKAGE / f"{name}.py").is_file()] == []


def test_check_is_what_the_build_server_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert re.findall(r"^python3 cmd/check (\S+)", script.read_text(), re.MULTILINE) == ["--long", "--compiled"]


@pytest.mark.skipif((ROOT / "build" / "compiled-copy").is_file(), reason="a copy that is made to be compiled")
def test_nothing_compiled_lies_beside_the_sources() -> None:
    """It would win over its source, also over one that has changed since. Builds and environments have places of their own."""
    elsewhere = {".git", ".venv", "build", "dist"}
    places = [ROOT, *(place for place in ROOT.iterdir() if place.is_dir() and place.name not in elsewhere)]
    found = [file for place in places for file in (place.glob("*.so") if place == ROOT else place.rglob("*.so"))]
    assert found == []
