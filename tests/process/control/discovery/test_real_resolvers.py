"""The source that asks DNS, against dnsmasq, unbound and BIND."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dns_looks import addresses, one_look
from dns_servers import dnsmasq_command, named_command, unbound_command
from server_processes import ServerProcesses, free_port

from balance.discovery.answer import Answer, SourceFailure

pytestmark = pytest.mark.long

MANY = [f"10.1.{i // 250}.{i % 250 + 1}" for i in range(1000)]


def _dnsmasq(folder: Path, port: int) -> list[str]:
    hosts = folder / "hosts"
    rows = ["10.0.0.1 both.test", "2001:db8::1 both.test", "10.0.0.2 both.test", "10.0.0.1 a.test", "10.0.0.2 b.test"]
    hosts.write_text("\n".join([*rows, *(f"{address} many.test" for address in MANY)]) + "\n")
    return dnsmasq_command(
        port,
        f"--addn-hosts={hosts}",
        "--no-round-robin",
        "--local-ttl=7",
        "--cname=alias.test,both.test",
        "--srv-host=_http._tcp.app.test,a.test,8001,10,60",
        "--srv-host=_http._tcp.app.test,b.test,8002,20,20",
        "--txt-record=text.test,nothing",
    )


def _unbound(folder: Path, port: int) -> list[str]:
    records = ["both.test. 7 A 10.0.0.1", "both.test. 7 A 10.0.0.2", "both.test. 7 AAAA 2001:db8::1", "text.test. TXT nothing"]
    records += ["a.test. A 10.0.0.1", "b.test. A 10.0.0.2", "_http._tcp.app.test. SRV 10 60 8001 a.test."]
    records += ["_http._tcp.app.test. SRV 20 20 8002 b.test."]
    return unbound_command(folder, port, [*records, *(f"many.test. A {address}" for address in MANY)])


def _named(folder: Path, port: int) -> list[str]:
    zone = "both 7 A 10.0.0.1\nboth 7 A 10.0.0.2\nboth 7 AAAA 2001:db8::1\ntext TXT nothing\nalias 3 CNAME both\n"
    zone += "a A 10.0.0.1\nb A 10.0.0.2\n_http._tcp.app SRV 10 60 8001 a\n_http._tcp.app SRV 20 20 8002 b\n"
    return named_command(folder, port, zone + "".join(f"many A {address}\n" for address in MANY))


SERVERS: dict[str, Callable[[Path, int], list[str]]] = {"dnsmasq": _dnsmasq, "unbound": _unbound, "named": _named}


@pytest.fixture(scope="module", params=SERVERS)
def resolver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Which one, and its address."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    folder.chmod(0o755)
    processes = ServerProcesses(folder)
    try:
        processes.start(request.param, SERVERS[request.param](folder, port))
        processes.wait_for({request.param: f"127.0.0.1:{port}"})
        yield request.param, f"127.0.0.1:{port}"
    finally:
        processes.stop()


def test_both_families_with_their_ttl(resolver: tuple[str, str]) -> None:
    answer = one_look(resolver[1], name="both.test")
    assert sorted(addresses(answer)) == ["10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"]
    assert isinstance(answer, Answer) and answer.valid_s == 7 and not answer.unasked


def test_alias_is_followed(resolver: tuple[str, str]) -> None:
    if resolver[0] == "unbound":
        pytest.skip("its local data has no aliases that it follows")
    answer = one_look(resolver[1], name="alias.test")
    assert sorted(addresses(answer)) == ["10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"]


def test_thousand_addresses_come_over_tcp(resolver: tuple[str, str]) -> None:
    """S4: more than any datagram carries."""
    assert sorted(addresses(one_look(resolver[1], name="many.test"))) == sorted(f"{address}:80" for address in MANY)


def test_srv_records_and_their_targets(resolver: tuple[str, str]) -> None:
    """S5."""
    answer = one_look(resolver[1], name="_http._tcp.app.test", type="srv")
    assert isinstance(answer, Answer)
    assert {(each.address, each.backup) for each in answer.endpoints} == {("10.0.0.1:8001", False), ("10.0.0.2:8002", True)}


@pytest.mark.parametrize("name", ["nobody.test", "text.test"])
def test_name_without_addresses_is_an_answer(resolver: tuple[str, str], name: str) -> None:
    assert addresses(one_look(resolver[1], name=name)) == []


def test_name_that_the_server_does_not_answer_for_is_a_failure(resolver: tuple[str, str]) -> None:
    """None of them may ask others here: REFUSED, or SERVFAIL."""
    answer = one_look(resolver[1], name="elsewhere.example")
    assert isinstance(answer, SourceFailure)
