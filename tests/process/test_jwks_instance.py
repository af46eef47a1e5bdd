"""Keys by URL in a whole instance: from a real server, by one process for all workers, through failures and restarts."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from control.jwks_server import JwksServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from instance_process import Instance, until
from joserfc.jwk import ECKey

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]
PRIVATE = {kid: ec.generate_private_key(ec.SECP256R1()) for kid in ("a", "b", "c")}


def keys(*kids: str) -> str:
    listed = []
    for kid in kids:
        pem = (
            PRIVATE[kid].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        listed.append(ECKey.import_key(pem).as_dict(private=False) | {"kid": kid})
    return json.dumps({"keys": listed})


def token(kid: str, **claims: object) -> str:
    return jwt.encode({"sub": "ada", "exp": int(time.time()) + 600} | claims, PRIVATE[kid], "ES256", {"kid": kid})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JwksServer]:
    made = JwksServer(tmp_path)
    yield made
    made.close()


class Guarded:
    """An instance of two workers before nobody: a good token gets the fixed response."""

    def __init__(self, folder: Path, url: str, more: str = "") -> None:
        self.instance = Instance(
            folder,
            f"""
            listeners: [{{name: main, listen: "127.0.0.1:0"}}]
            http: {{routes: [{{name: r, respond: {{status: 204}}, security: {{jwt: {{
              enabled: true, algorithms: [ES256], jwks_url: "{url}", jwks_timeout: 2s{more}}}}}}}]}}
            workers: 2
            admin: {{listen: "127.0.0.1:0"}}
            shutdown: {{delay: 0s}}
            logging: {{access_log: {{enabled: true, output: {folder}/access.log}}}}
            """.replace("\n            ", "\n"),
        ).ready()
        self._folder = folder

    def ask(self, kid: str, **claims: object) -> int:
        import http.client

        port = int(self.instance.saying(r"listener main: \w+ on \S*:(\d+) ")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/", headers={"Authorization": f"Bearer {token(kid, **claims)}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def both(self, kid: str) -> set[int]:
        """Over connections to both workers, most probably."""
        return {self.ask(kid, jti=number) for number in range(12)}

    @property
    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self._folder / "access.log").read_text().splitlines()]


def test_a_life_of_keys_in_an_instance(server: JwksServer, tmp_path: Path) -> None:
    server.answer("", "status")
    guarded = Guarded(tmp_path, server.url() + "?k=hunter2", ", jwks_cooldown: 1s")
    try:
        instance = guarded.instance
        assert guarded.both("a") == {503}
        until(lambda: guarded.log, "a line of the access log")
        assert guarded.log[0]["why"] == "keys_unavailable"
        instance.saying(
            r"keys of tokens from http://127\.0\.0\.1:\d+/jwks can't be fetched: it answers 500; requests with tokens"
        )
        server.answer(keys("a"))
        until(lambda: guarded.both("a") == {204}, "keys")
        before = server.count
        assert guarded.both("a") == {204}
        assert server.count == before
        # rotation: the first tokens of the new key wait for it, in whichever worker
        time.sleep(1.1)  # the cooldown
        server.answer(keys("a", "b"))
        assert guarded.both("b") == {204}
        assert server.count == before + 1  # one fetch for both workers
        # a flood of keys that are made up
        began = time.monotonic()
        assert {guarded.ask("c", jti=number) for number in range(60)} == {401}
        assert time.monotonic() - began < 20
        assert server.count <= before + 3
        # an outage: the last good set stays, also in a worker and a control process that begin then
        server.answer("", "status")
        time.sleep(1.1)
        assert guarded.ask("c") == 401
        until(lambda: instance.ask("/status")[1]["keys"][0]["failure"] == "it answers 500", "the failure")
        for name in ("balance-worker", "balance-control"):
            pids = instance.children(name)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            until(lambda name=name, pids=pids: len(set(instance.children(name)) - set(pids)) == len(pids), f"a new {name}")
        until(lambda: guarded.both("b") == {204}, "workers that have the keys")
        until(lambda: instance.metric("balance_jwks_age_seconds") >= 0, "the metric")
        assert instance.metric("balance_jwks_up") == 0
        status = instance.ask("/status")[1]["keys"][0]
        assert status["url"].endswith("/jwks") and status["age_seconds"] > 0
        # a key that was taken back gets nobody in any more
        server.answer(keys("b"))
        until(lambda: guarded.both("a") == {401}, "the old key gone")
        assert guarded.both("b") == {204}
        assert "hunter2" not in instance.log
        assert "hunter2" not in json.dumps(instance.ask("/config")[1])
    finally:
        guarded.instance.destroy()


def test_an_upgrade_takes_the_keys_along_and_a_reload_keeps_them(server: JwksServer, tmp_path: Path) -> None:
    server.answer(keys("a"))
    guarded = Guarded(tmp_path, server.url())
    try:
        instance = guarded.instance
        assert guarded.both("a") == {204}  # the very first ones may wait for the keys
        server.answer("", "status")
        text = instance.config.read_text()
        instance.config.write_text(text + "\nmax_clients: 1000\n")
        instance.process.send_signal(signal.SIGHUP)
        instance.saying(r"configuration 2 is served")
        assert guarded.both("a") == {204}
        instance.config.write_text(text.replace("/jwks", "/jwks?2"))
        instance.process.send_signal(signal.SIGHUP)
        instance.saying(r"configuration 3 is served")
        assert guarded.both("a") == {503}  # another URL: nothing is known of it
        instance.config.write_text(text)
        server.answer(keys("a"))
        instance.process.send_signal(signal.SIGHUP)
        until(lambda: guarded.both("a") == {204}, "keys again")
        server.answer("", "status")
        instance.process.send_signal(signal.SIGUSR2)
        instance.saying(r"has taken over")
        assert guarded.both("a") == {204}
    finally:
        guarded.instance.destroy()
