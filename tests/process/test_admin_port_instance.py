"""The admin port of a whole instance: tokens, TLS, a Unix socket, over reloads, renewals and an upgrade, with real clients."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until
from pem_files import self_signed

Origins = Callable[..., Origin]

OLD, NEW, READ = "a-token-of-last-year-0123", "a-token-of-this-year-4567", "a-token-to-read-alone-8901"


def curl(*words: str) -> tuple[str, str]:
    """The status and the body; 000 without a reply."""
    command = ["curl", "-s", "-m", "10", "-o", "-", "-w", "\n%{http_code}", *words]
    body, _, status = subprocess.run(command, capture_output=True, text=True, check=False).stdout.rpartition("\n")
    return status, body


def bearer(token: str) -> list[str]:
    return ["-H", f"Authorization: Bearer {token}"]


def balance(*words: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "balance", *words], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )
    return done.returncode, done.stdout + done.stderr


def configuration(backend: str, listen: str, folder: Path, tokens: str) -> str:
    return f"""\
listen: "127.0.0.1:0"
backends: [{{address: "{backend}"}}]
shutdown: {{delay: 0s}}
admin:
  listen: "{listen}"
  auth:
    tokens: [{tokens}]
    read_only_tokens: [{{name: ci, token: {READ}}}]
  tls: {{cert_file: {folder}/tls.crt, key_file: {folder}/tls.key}}
"""


@pytest.mark.long
def test_an_admin_port_for_other_machines(origins: Origins, tmp_path: Path) -> None:
    first, second = self_signed("admin.example", "IP:127.0.0.1"), self_signed("admin.example", "IP:127.0.0.1", number=1)
    for name, file in (("tls.crt", first.cert), ("tls.key", first.key)):
        shutil.copy(file, tmp_path / name)
    old = f"{{name: old, token: {OLD}}}"
    text = configuration(origins().address, "0.0.0.0:0", tmp_path, old)
    instance = Instance(tmp_path, text)
    try:
        port = int(instance.ready().saying(r"admin: https://\S*:(\d+)/status")[1])
        url = f"https://127.0.0.1:{port}"
        ca = ["--cacert", str(tmp_path / "tls.crt")]
        for path in ("/health", "/ready", "/version", "/metrics"):
            assert curl(*ca, url + path)[0] == "200"
        assert curl(*ca, f"{url}/status")[0] == "401"
        assert curl(*ca, *bearer(READ), f"{url}/status")[0] == "200"
        assert curl(*ca, *bearer(READ), "-X", "POST", f"{url}/reload")[0] == "403"
        assert curl(*ca, f"{url}/status?token={OLD}")[0] == "400"
        assert curl(f"http://127.0.0.1:{port}/status") == ("400", "This port speaks TLS: use https.\n")

        # A new token beside the old, then the old one out; event streams that it opened end.
        stream = subprocess.Popen(["curl", "-sN", *ca, *bearer(OLD), f"{url}/events"], stdout=subprocess.PIPE)
        assert stream.stdout is not None
        stream.stdout.readline()
        instance.config.write_text(text.replace(old, f"{old}, {{name: new, token: {NEW}}}"))
        assert curl(*ca, *bearer(OLD), "-X", "POST", f"{url}/reload")[0] == "200"
        assert [curl(*ca, *bearer(token), f"{url}/status")[0] for token in (OLD, NEW)] == ["200", "200"]
        assert stream.wait(20) == 0
        instance.config.write_text(text.replace(old, f"{{name: new, token: {NEW}}}"))
        assert balance("reload", "--admin", url, "--ca-file", str(tmp_path / "tls.crt"), BALANCE_ADMIN_TOKEN=NEW)[0] == 0
        assert [curl(*ca, *bearer(token), f"{url}/status")[0] for token in (OLD, NEW)] == ["401", "200"]
        instance.saying(r"ordered by token old at 127\.0\.0\.1:\d+: reload: done")
        instance.saying(r"ordered by token new at 127\.0\.0\.1:\d+: reload: done")

        # A renewal without a reload; what is not a pair is left aside.
        for name, file in (("tls.crt", second.cert), ("tls.key", second.key)):
            shutil.copy(file, tmp_path / f"{name}.new")
            os.replace(tmp_path / f"{name}.new", tmp_path / name)
        until(lambda: curl("--cacert", str(second.cert), f"{url}/health")[0] == "200", lambda: instance.log)
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "admin.example"],
            input=b"", capture_output=True, check=False,
        ).stdout  # fmt: skip
        assert second.cert.read_bytes().strip() in shown

        # A file without tokens changes nothing.
        instance.config.write_text(re.sub(r"  auth:\n.*\n.*\n", "", text))
        status, out = balance("reload", "--admin", url, "--ca-file", str(second.cert), BALANCE_ADMIN_TOKEN=NEW)
        assert status == 1
        assert "is reached from elsewhere, and there who asks needs a token" in out
        assert curl("--cacert", str(second.cert), f"{url}/status")[0] == "401"
        for token in (OLD, NEW, READ):
            assert token not in instance.log + out
    finally:
        instance.destroy()


@pytest.mark.long
def test_a_unix_socket_is_kept_by_an_upgrade_and_taken_by_one_instance_alone(origins: Origins, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    text = configuration(origins().address, f"unix:{path}", tmp_path, f"{{name: ops, token: {NEW}}}")
    text = re.sub(r"  tls: .*\n", "", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        subprocess.run(
            [sys.executable, "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({str(path)!r})"], check=True
        )  # one that nobody listens on any more
        instance, other = Instance(tmp_path, text).ready(), None
        try:
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            there = ("--unix-socket", str(path))
            assert curl(*there, "http://localhost/status")[0] == "401"
            assert curl(*there, *bearer(NEW), "http://localhost/status")[0] == "200"
            assert curl(*there, *bearer(NEW), "-X", "POST", "http://localhost/restart")[0] == "200"
            instance.saying(rf"ordered by token ops at a Unix socket \(uid {os.getuid()}\): restart the workers: done")
            other = Instance(tmp_path, text)
            assert other.ended() == 1
            assert "it is in use by another process" in other.log
            assert curl(*there, "http://localhost/health")[0] == "200"
            config = str(instance.config)
            assert balance("status", "--config", config)[0] == 0
            instance.saying(r"restart")
            status, out = until(lambda: _upgraded(config), lambda: instance.log)
            assert status == 0, out
            until(lambda: curl(*there, *bearer(NEW), "http://localhost/status")[0] == "200", "the new instance")
            assert curl(*there, "http://localhost/status")[0] == "401"
        finally:
            if other is not None:
                other.destroy()
            instance.destroy()


def _upgraded(config: str) -> tuple[int, str] | None:
    status, out = balance("upgrade", "--config", config)
    return (status, out) if status == 0 else None  # an operation at a time: the restart may go on yet
