"""A running instance whose backends are DNS records, with a real resolver, under traffic."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dns_servers import DnsServer, dnsmasq_command
from instance_process import Instance, Origin, until
from recording_backends import Backend, Recorder
from server_processes import free_port
from steady_load import Load

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]


class Dnsmasq:
    """One whose zone `test` is a file of hosts that it reads again when told."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._hosts = folder / "hosts"
        self._hosts.touch()
        folder.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(dnsmasq_command(self.port, f"--addn-hosts={self._hosts}", "--local-ttl=0"))
        until(lambda: socket.create_connection(("127.0.0.1", self.port)).close() is None, "dnsmasq")  # else SIGHUP ends it

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def say(self, addresses: Sequence[str], name: str = "app.test") -> None:
        self._hosts.write_text("".join(f"{address} {name}\n" for address in addresses))
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)


@pytest.fixture
def dnsmasq(tmp_path: Path) -> Iterator[Dnsmasq]:
    folder = tmp_path / "dnsmasq"
    folder.mkdir()
    server = Dnsmasq(folder)
    yield server
    server.stop()


class AtOnePort(Recorder):
    """Backends at 127.0.1.1, 127.0.1.2, ..., all with the same port, as the records of a name have them."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    async def open(self, name: str) -> str:
        host = f"127.0.1.{len(self.servers) + 1}"
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(lambda: Backend(self, name), host, self.port, backlog=1024))
        return host


def discovery(port: int, resolver: str, **keys: Any) -> dict[str, Any]:
    return {"dns": {"name": "app.test", "port": port, "refresh": "100ms", "resolvers": resolver}, "debounce": "50ms"} | keys


def backends(instance: Instance) -> list[str]:
    """The addresses of those that get something new."""
    status, found = instance.ask("/backends")
    assert status == 200
    return sorted(each["address"] for each in found["backends"] if not each.get("leaves"))


def test_records_change_under_load_and_no_request_is_lost(run: Run, dnsmasq: Dnsmasq) -> None:
    """S1, S3: servers come, go and come back, a resolver is killed and starts again, a file is reloaded, control dies."""
    recorder = AtOnePort()
    with Load(keeping=4, fresh=2, websockets=6, download_bytes=600_000, recorder=recorder) as load:
        hosts = list(load.addresses.values())

        def served(*indexes: int) -> list[str]:
            return [f"{hosts[index]}:{recorder.port}" for index in indexes]

        def say(*indexes: int) -> None:
            dnsmasq.say([hosts[index] for index in indexes])
            until(lambda: backends(instance) == served(*sorted(indexes)), lambda: f"{backends(instance)} {instance.log}")
            load.flow(20)

        dnsmasq.say([hosts[0]])
        instance = run(
            mode="http",
            workers=2,
            timeouts={"drain": "10m"},  # what goes keeps its WebSockets and downloads for as long
            discovery=discovery(recorder.port, f"127.0.0.1:{dnsmasq.port}"),
        ).ready()
        until(lambda: backends(instance) == served(0), lambda: instance.log)
        load.begin(instance.port)
        say(0, 1)
        say(1, 2)
        say(2, 1, 0)
        dnsmasq.stop()
        until(lambda: instance.ask("/status")[1]["pools"][0]["discovery"]["state"] == "stale", lambda: instance.log)
        load.flow(50)
        assert backends(instance) == served(0, 1, 2)
        os.kill(instance.children("balance-control")[0], signal.SIGKILL)
        until(lambda: backends(instance) == served(0, 1, 2), lambda: instance.log)
        load.flow(20)
        dnsmasq.start()
        say(0, 2)
        instance.config.write_text(json.dumps(json.loads(instance.config.read_text()) | {"retry": {"max_attempts": 3}}))
        instance.process.send_signal(signal.SIGHUP)
        instance.saying(r"\(SIGHUP\)")
        load.flow(20)
        assert backends(instance) == served(0, 2)
        say(1)
        report = load.end()
    assert report.downloads and not report.failures and not report.twice and not report.unseen, (
        report.failures[:5],
        instance.log,
    )
    assert all(recorder.by_backend[name] for name in ("b1", "b2", "b3"))


def test_pool_follows_a_name_that_is_not_there_at_the_start_and_goes_again(
    run: Run, dnsmasq: Dnsmasq, origins: Callable[..., Origin]
) -> None:
    """S1 (envoy#2691, caddy#5816, nginx's "host not found in upstream"): asked for again, said, not fatal. Later that nobody is
    there (envoy#20890) is believed after a second look and the hold."""
    origin = origins("b1")
    keys = discovery(origin.server_address[1], f"127.0.0.1:{dnsmasq.port}", hold="2s")
    instance = run(mode="http", workers=1, discovery=keys).ready()
    assert instance.get()[0] == 503
    instance.saying("control: discovery of pool default")
    dnsmasq.say(["127.0.0.1"])
    until(lambda: instance.get() == (200, "b1"), lambda: instance.log)
    dnsmasq.say([])
    until(lambda: instance.ask("/status")[1]["pools"][0]["discovery"]["says_nobody"], lambda: instance.log)
    assert instance.get() == (200, "b1")  # not believed yet
    until(lambda: instance.get()[0] == 503, lambda: instance.log)
    assert backends(instance) == []


def test_srv_weights_are_those_of_the_traffic(run: Run, origins: Callable[..., Origin]) -> None:
    """S5: 3 to 1, nothing for a weight of 0, and backups only when the first are gone."""
    three, one, none, backup = (origins(name) for name in ("three", "one", "none", "backup"))
    server = DnsServer()
    records = [(10, 3, three), (10, 1, one), (10, 0, none), (20, 1, backup)]
    texts = [f"{priority} {weight} {origin.server_address[1]} a.test." for priority, weight, origin in records]
    server.zone = {("app.test", "SRV"): list(texts), ("a.test", "A"): ["127.0.0.1"]}
    dns = {"name": "app.test", "type": "srv", "refresh": "100ms", "resolvers": server.address}
    instance = run(mode="http", workers=1, discovery={"dns": dns}, load_balancer={"algorithm": "weighted-round-robin"}).ready()
    until(lambda: instance.get()[0] == 200, lambda: instance.log)
    names = [instance.get()[1] for _ in range(40)]
    assert {name: names.count(name) for name in set(names)} == {"three": 30, "one": 10}
    server.zone = {("app.test", "SRV"): texts[2:], ("a.test", "A"): ["127.0.0.1"]}
    until(lambda: len(backends(instance)) == 2, lambda: instance.log)
    server.stop()


def test_instance_stops_and_reloads_at_once_while_a_resolver_is_silent(run: Run, origins: Callable[..., Origin]) -> None:
    server = DnsServer()
    server.answer = lambda question, reply, is_tcp: []
    keys = {"backends": [{"address": origins("b1").address}], "discovery": discovery(80, server.address)}
    instance = run(mode="http", workers=1, **keys).ready()
    until(lambda: server.questions, "a question")
    (control,) = instance.children("balance-control")
    before = len(os.listdir(f"/proc/{control}/fd"))
    for _ in range(5):
        instance.process.send_signal(signal.SIGHUP)
        assert instance.get() == (200, "b1")
    until(lambda: len(os.listdir(f"/proc/{control}/fd")) <= before + 2, "no descriptor is left behind")
    assert instance.get() == (200, "b1")
    instance.process.send_signal(signal.SIGTERM)
    assert instance.exits_within(10)
    assert instance.ended() == 0 and "Traceback" not in instance.log, instance.log
    server.stop()
