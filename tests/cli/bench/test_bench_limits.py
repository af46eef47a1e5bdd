from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest

from balance.cli.bench import limits
from balance.cli.bench.plan import Plan, Target
from balance.errors import StartError


def plan(connections: int = 1, address: str = "127.0.0.1:1") -> Plan:
    return Plan(Target.parse(address), connections, timeout_s=1.0)


def test_more_connections_than_local_ports_are_refused(tmp_path: Path) -> None:
    """k6#826, siege#127, vegeta PR 638: said before, not as thousands of errors."""
    port_range = tmp_path / "ip_local_port_range"
    port_range.write_text("32768\t32800\n")
    limits.check_limits(plan(33), port_range)
    with pytest.raises(StartError, match="34 connections to one address need as many local ports, and this machine has 33"):
        limits.check_limits(plan(34), port_range)


def test_a_machine_that_does_not_say_its_ports_is_not_judged(tmp_path: Path) -> None:
    assert limits.local_ports(tmp_path / "none") == 0


def test_more_connections_than_open_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "raise_file_limit", lambda: 1024)
    limits.check_limits(plan(900))
    with pytest.raises(StartError, match="need 1,032 open files, and the limit is 1,024"):
        limits.check_limits(plan(1000))


def test_the_limit_of_open_files_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        limits.check_limits(plan(300))
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 332
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_can_not_be_reached_is_told_with_the_reason() -> None:
    with pytest.raises(StartError, match=r"cannot connect to tcp://127\.0\.0\.1:1: 127\.0\.0\.1 port 1: Connection refused"):
        limits.reachable_address(plan())
    with pytest.raises(StartError, match=r"the name 'nowhere\.invalid' does not resolve"):
        limits.reachable_address(plan(address="nowhere.invalid:80"))


def test_of_a_names_addresses_the_one_that_answers_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert limits.reachable_address(plan(address=f"localhost:{port}")) == "127.0.0.1"
