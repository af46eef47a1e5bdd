"""With `user`, who carries traffic has no rights, and what only root may read works: at every change, for every successor."""

from __future__ import annotations

import grp
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until
from unprivileged import READ_ONLY, needs_root, reachable

from balance.errors import StartError
from balance.process import privileges
from balance.process.privileges import Credentials, credentials_of

Run = Callable[..., Instance]
Origins = Callable[..., Origin]
CERTIFICATES = Path(__file__).resolve().parents[2] / "deployments" / "examples" / "certificates"
COUNTRIES = Path(__file__).resolve().parents[1] / "countries.mmdb"
NOBODY = 65534


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def in_child(act: Callable[[], object]) -> str:
    """What became of `act` in a process of its own: an error in words, or nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        said = ""
        try:
            act()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


def have_no_rights(instance: Instance, group: int = NOBODY) -> list[int]:
    """The pids of workers and control, which have nothing that nobody should have."""
    pids = [*instance.children("balance-worker"), *instance.children("balance-control")]
    for pid in pids:
        about = status_of(pid)
        assert (about["Uid"].split(), about["Gid"].split()) == ([str(NOBODY)] * 4, [str(group)] * 4)
        assert about["Groups"] == ""
        assert [int(about[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0] * 4
        assert about["NoNewPrivs"] == "1"
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0  # not dumpable: others of that user can't look into its memory
    return pids


def numbered_line(instance: Instance, path: Path, *lines: str) -> None:
    until(lambda: all(line in path.read_text() for line in lines), lambda: f"{lines} in {path.read_text()} {instance.log}")


def certificate_of(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)


@needs_root
def test_dropped_rights_are_gone_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_check_installation", lambda credentials: None)

    def drop_and_try() -> None:
        privileges.drop(Credentials("nobody", NOBODY, NOBODY))
        with pytest.raises(PermissionError):
            os.setresuid(0, 0, 0)
        with pytest.raises(PermissionError):
            os.setgroups([0])
        with pytest.raises(PermissionError):
            open("/etc/shadow").close()
        assert not privileges._capabilities()

    assert in_child(drop_and_try) == ""


@needs_root
def test_who_could_be_root_again_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_give_up_capabilities", lambda: None)
    monkeypatch.setattr(os, "setresuid", lambda real, effective, saved: os.seteuid(effective))  # as a system that half obeys
    said = in_child(lambda: privileges.drop(Credentials("nobody", NOBODY, NOBODY)))
    assert said.startswith("StartError: user: this system lets a process that became nobody be root again")


@needs_root
def test_an_installation_that_the_user_may_not_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(sys.modules["balance"], "__file__", str(tmp_path / "balance" / "__init__.py"))
    said = in_child(lambda: privileges.drop(Credentials("nobody", NOBODY, NOBODY)))
    assert f"StartError: user: nobody can't read {tmp_path / 'balance'}, from where the program is loaded" in said


class _Config:
    def __init__(self, user: str, group: str = "") -> None:
        self.user = user
        self.group = group


def test_who_is_not_root_can_t_become_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    monkeypatch.setattr(os, "getegid", lambda: NOBODY)
    monkeypatch.setattr(privileges, "_capabilities", lambda *kinds: 1 << 10)  # CAP_NET_BIND_SERVICE, as systemd gives it
    with pytest.raises(StartError, match=r"^user: this process runs as nobody, which can't become daemon: start it as root"):
        credentials_of(_Config("daemon"))  # type: ignore[arg-type]
    assert credentials_of(_Config("nobody")) == Credentials("nobody", NOBODY, NOBODY)  # type: ignore[arg-type]
    assert credentials_of(_Config("")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("capabilities", "lacking"), [(0, "CAP_SETUID, CAP_SETGID, CAP_KILL"), (1 << 6 | 1 << 7, "CAP_KILL"), (0b1110_0000, "")]
)
def test_a_container_s_root_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch, capabilities: int, lacking: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(privileges, "_capabilities", lambda *kinds: capabilities)
    if not lacking:
        assert credentials_of(_Config("nobody")) == Credentials("nobody", NOBODY, NOBODY)  # type: ignore[arg-type]
        return
    with pytest.raises(StartError, match=f"^user: to start and end processes of nobody root needs {lacking}, which"):
        credentials_of(_Config("nobody"))  # type: ignore[arg-type]


@needs_root
@pytest.mark.long
def test_checks_run_as_the_user_and_what_it_can_t_read_is_told(run: Run, origins: Origins, tmp_path: Path) -> None:
    backends = [{"name": "b", "address": origins().address}]
    check = {"type": "exec", "command": ["/bin/sh", "-c", 'test "$(id -u)-$(id -G)" = 65534-65534'], "interval": "1s"}
    instance = run(reachable(), user="nobody", backends=backends, health_check=check | {"enabled": True}).ready()
    until(lambda: instance.ask("/backends")[1]["backends"][0]["state"] == "healthy", lambda: instance.log)
    countries = tmp_path / "countries.mmdb"
    shutil.copy(COUNTRIES, countries)
    countries.chmod(0o600)
    routes = [{"name": "r", "policy": {"regions": {"geoip_db": str(countries)}}}]
    instance = run(reachable(), user="nobody", backends=backends, http={"routes": routes})
    assert instance.ended() == 1
    assert f"worker 0 could not start: policy.regions.geoip_db: {countries} can't be read: Permission denied" in instance.log
    assert "Traceback" not in instance.log


@needs_root
@pytest.mark.long
def test_process_1_reaps_what_commands_of_checks_leave_behind(run: Run, origins: Origins) -> None:
    prelude = """
import ctypes, os, sys
ctypes.CDLL(None).unshare(0x20000000)  # CLONE_NEWPID: the next process is number 1
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    backends = [{"name": "b", "address": origins().address}]
    check = {
        "enabled": True,
        "type": "exec",
        "command": ["/bin/sh", "-c", "sleep 0.1 & sleep 0.1 & exit 0"],
        "interval": "200ms",
    }
    check["timeout"] = "100ms"
    instance = run(prelude, backends=backends, health_check=check).ready()
    found = subprocess.run(["pgrep", "-P", str(instance.process.pid)], capture_output=True, text=True, check=True)
    first = int(found.stdout.split()[0])

    def states() -> list[str]:
        listed = subprocess.run(["ps", "-o", "stat=", "--ppid", str(first)], capture_output=True, text=True, check=False)
        return listed.stdout.split()

    most = 0
    for _ in range(30):
        time.sleep(0.1)
        most = max(most, sum(state.startswith("Z") for state in states()))
    assert most < 10, most  # of some 30 that ended
    assert instance.get("/")[0] == 200
    os.kill(first, signal.SIGTERM)
    assert instance.ended() == 0


@needs_root
def test_workers_and_control_become_the_user(run: Run, origins: Origins) -> None:
    backends = [{"address": origins().address}]
    instance = run(reachable(), user="nobody", group="daemon", workers=2, backends=backends).ready()
    assert len(have_no_rights(instance, grp.getgrnam("daemon").gr_gid)) == 3
    assert status_of(instance.process.pid)["Uid"].split()[1] == "0"
    assert instance.get("/")[0] == 200
    assert instance.metric("process_resident_memory_bytes") > 0
    assert min(worker["memory_bytes"] for worker in instance.ask("/status")[1]["workers"]) > 0
    document = json.loads(instance.config.read_text())
    instance.config.write_text(json.dumps(document | {"user": "daemon"}))
    code, said = instance.command("reload")
    assert (code, "user and group are those of processes that live; `balance upgrade`" in said) == (1, True), said
    instance.process.send_signal(signal.SIGTERM)
    assert instance.ended() == 0
    assert "run as root" not in instance.log


@needs_root
@pytest.mark.long
def test_root_without_a_user_is_told_so(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}]).ready()
    assert instance.log.count("workers run as root; write `user:`") == 1


@needs_root
@pytest.mark.long
def test_what_only_root_may_read_works_at_every_change(run: Run, origins: Origins, tmp_path: Path) -> None:
    """Keys, lists and logs in folders for root alone: start, rotation, new certificate, crash, reload, restart, upgrade."""
    secret = tmp_path / "secret"
    secret.mkdir(0o700)
    for name in ("example", "api"):
        for end in ("crt", "key"):
            (secret / f"{name}.{end}").write_bytes((CERTIFICATES / f"{name}.{end}").read_bytes())
            (secret / f"{name}.{end}").chmod(0o600)
    served = secret / "served"
    served.mkdir(0o700)

    def serve(name: str) -> None:
        for end in ("crt", "key"):
            shutil.copy(secret / f"{name}.{end}", served / f"new.{end}")
            os.replace(served / f"new.{end}", served / f"now.{end}")

    serve("example")
    (secret / "blocked").write_text("192.0.2.1\n")
    (secret / "blocked").chmod(0o600)
    log, access = secret / "balance.log", secret / "access.log"
    certificate = {"cert_file": str(served / "now.crt"), "key_file": str(served / "now.key")}
    keys = {
        "user": "nobody",
        "workers": 2,
        "backends": [{"address": origins().address}],
        "admin": {"listen": f"unix:{secret}/admin.sock"},
        "metrics": {"listen": "127.0.0.1:0"},
        "listeners": [
            {"name": "main", "listen": "127.0.0.1:0"},
            {"name": "tls", "listen": "127.0.0.1:0", "tls": {"enabled": True, "certificates": [certificate]}},
        ],
        "pools": {"default": {"backends": [{"address": origins().address}]}},
        "security": {"ip_blocklist": {"files": [str(secret / "blocked")]}},
        "logging": {"output": str(log), "access_log": {"enabled": True, "output": str(access)}},
    }
    keys.pop("backends")
    instance = run(reachable(), **keys)
    until(lambda: log.exists() and "supervisor: ready" in log.read_text(), lambda: instance.log)
    text = log.read_text()
    port = int(text.partition("listener main: http on 127.0.0.1:")[2].partition(" ")[0])
    tls_port = int(text.partition("listener tls: http on 127.0.0.1:")[2].partition(" ")[0])

    def command(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "balance", *words, "--admin", f"unix:{secret}/admin.sock"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()

    def serves(name: str, mark: str) -> None:
        expected = (secret / f"{name}.crt").read_text().strip()
        until(lambda: certificate_of(tls_port).strip() in expected, lambda: log.read_text())
        for _ in range(8):  # of either worker
            assert instance.get(f"/{mark}", port)[0] == 200
            assert certificate_of(tls_port).strip() in expected
        until(lambda: mark in access.read_text(), lambda: f"{mark}: {log.read_text()}")
        have_no_rights(instance)

    serves("example", "started")
    serve("api")  # noticed by a look, though control may not see the folder
    serves("api", "swapped")

    log.rename(secret / "log.1")
    access.rename(secret / "access.1")
    (secret / "blocked").write_text("192.0.2.1\n192.0.2.2\n")
    instance.process.send_signal(signal.SIGHUP)
    until(lambda: log.exists() and "is served" in log.read_text(), "a new log")
    serves("api", "rotated")
    assert "rotated" not in (secret / "access.1").read_text()
    assert "cannot open" not in log.read_text()

    for worker in instance.children("balance-worker"):
        os.kill(worker, signal.SIGKILL)
    until(lambda: log.read_text().count("is ready") >= 2, lambda: log.read_text())
    serves("api", "restarted")

    document = json.loads(instance.config.read_text())
    document["logging"]["access_log"]["output"] = str(secret / "other.log")
    instance.config.write_text(json.dumps(document))
    command("reload")
    access = secret / "other.log"
    serves("api", "reloaded")
    command("restart")
    serves("api", "rolled")
    serve("example")
    serves("example", "again")
    (secret / "blocked").write_text("127.0.0.1\n")
    until(lambda: _is_reset(port), lambda: log.read_text())
    (secret / "blocked").write_text("192.0.2.1\n")
    until(lambda: not _is_reset(port), lambda: log.read_text())
    assert "Traceback" not in log.read_text()


def _is_reset(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 5.0) as sock:
        try:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return not sock.recv(1)
        except OSError:
            return True


@needs_root
@pytest.mark.long
def test_an_upgrade_hands_over_to_an_instance_of_the_same_user(run: Run, origins: Origins, tmp_path: Path) -> None:
    instance = run(reachable(), user="nobody", workers=2, backends=[{"address": origins().address}]).ready()
    code, said = instance.command("upgrade")
    assert code == 0, said
    assert instance.get("/")[0] == 200
    successor = instance.ask("/status")[1]["supervisor"]["pid"]
    assert successor != instance.process.pid
    for worker in instance.ask("/status")[1]["workers"]:
        assert status_of(worker["pid"])["Uid"].split() == [str(NOBODY)] * 4


@needs_root
@pytest.mark.long
@pytest.mark.parametrize("user", ["", "nobody"])
def test_who_is_not_root_serves_from_a_machine_that_can_t_be_written_to(origins: Origins, user: str) -> None:
    """Read-only everywhere, umask 077, no /dev/shm, no home, and CAP_NET_BIND_SERVICE alone of all capabilities."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with socket.socket() as sock:
            port = next(port for port in range(700, 1000) if sock.connect_ex(("127.0.0.1", port)) != 0)
        document = {
            "listen": f"127.0.0.1:{port}",
            "admin": {"listen": "127.0.0.1:0"},
            "shutdown": {"delay": "0s"},
            "workers": 2,
            "backends": [{"address": origins().address}],
            **({"user": user} if user else {}),
        }
        prelude = "import os\nif os.geteuid() == 0:\n" + textwrap.indent(reachable() + READ_ONLY, " ")  # not at the upgrade
        instance = Instance(Path(folder), json.dumps(document), prelude)
        try:
            instance.ready()
            assert instance.get("/")[0] == 200
            about = [status_of(pid) for pid in (instance.process.pid, *instance.children("balance-worker"))]
            assert [each["Uid"].split()[1] for each in about] == [str(NOBODY)] * 3
            bind = f"{1 << 10:016x}"
            of_workers = "0" * 16 if user else bind  # given up where user says so
            assert [each["CapEff"] for each in about] == [bind, of_workers, of_workers]
            for command in ("reload", "restart", "upgrade"):
                code, said = instance.command(command)
                assert code == 0, said + instance.log
                assert instance.get("/")[0] == 200
            assert not re.search("warning|error|Traceback", instance.log), instance.log
        finally:
            instance.destroy()
