"""What systemd hears and what it hands over, over real sockets and descriptors; nothing of it can fail the service."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from balance.process.supervisor.systemd import NEVER, SystemdNotifier, activation_sockets

PID = os.getpid()


class NotifyReceiver:
    """systemd's end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + name[1:] if name.startswith("@") else name)
        self.sock.setblocking(False)

    def receive(self) -> list[list[str]]:
        """The messages so far, each as its assignments."""
        found = []
        while True:
            try:
                found.append(self.sock.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NotifyReceiver]:
    receiver = NotifyReceiver(str(tmp_path / "notify") if request.param == "path" else f"@balance-test-{PID}")
    yield receiver
    receiver.sock.close()


@pytest.mark.parametrize(
    ("tell", "message"),
    [
        (lambda systemd: systemd.ready("2 workers"), ["READY=1", "STATUS=2 workers"]),
        (lambda systemd: systemd.stopping("draining"), ["STOPPING=1", "STATUS=draining"]),
        (lambda systemd: systemd.ready("one\nSTOPPING=1  two"), ["READY=1", "STATUS=one STOPPING=1 two"]),
        (lambda systemd: systemd.main_pid(4711), ["MAINPID=4711"]),
    ],
)
def test_each_notification_is_one_datagram(
    receiver: NotifyReceiver, tell: Callable[[SystemdNotifier], None], message: list[str]
) -> None:
    tell(SystemdNotifier(receiver.name))
    assert receiver.receive() == [message]


def test_reload_carries_the_time_at_which_it_began(receiver: NotifyReceiver) -> None:
    """systemd takes a READY=1 for the reload's only if it comes after it, by CLOCK_MONOTONIC."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    SystemdNotifier(receiver.name).reloading()
    ((reloading, usec, status),) = receiver.receive()
    assert (reloading, status) == ("RELOADING=1", "STATUS=reloading")
    assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_watchdog_is_fed_at_half_its_time(receiver: NotifyReceiver) -> None:
    environ = {"NOTIFY_SOCKET": receiver.name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(PID)}
    systemd = SystemdNotifier.from_environment(environ, PID)
    beats = []
    for now in (100.0, 100.1, 101.4, 101.5, 101.6, 104.0):
        systemd.ping_watchdog(now)
        beats.append((len(receiver.receive()), systemd.watchdog_due))
    assert beats == [(1, 101.5), (0, 101.5), (0, 101.5), (1, 103.0), (0, 103.0), (1, 105.5)]


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(PID + 1)},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_PID": str(PID)},
        {},
    ],
)
def test_watchdog_that_is_not_ours_is_never_fed(receiver: NotifyReceiver, environ: dict[str, str]) -> None:
    systemd = SystemdNotifier.from_environment({"NOTIFY_SOCKET": receiver.name} | environ, PID)
    systemd.ping_watchdog(1e9)
    assert (receiver.receive(), systemd.watchdog_due) == ([], NEVER)


def test_variables_are_taken_out_and_can_be_given_to_a_successor(receiver: NotifyReceiver) -> None:
    environ = {"NOTIFY_SOCKET": receiver.name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(PID), "HOME": "/"}
    systemd = SystemdNotifier.from_environment(environ, PID)
    assert environ == {"HOME": "/"}
    successor = SystemdNotifier.from_environment(dict(systemd.environment), PID + 1)
    successor.ping_watchdog(7.0)
    assert (receiver.receive(), successor.watchdog_due) == ([["WATCHDOG=1"]], 8.5)
    assert SystemdNotifier().environment == {}


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "@nobody-listens-here", "vsock:2:1234", "/" + "x" * 200, "@\0"])
def test_nobody_who_listens_is_no_error_and_told_once(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    systemd = SystemdNotifier(address, watchdog_s=1.0)
    systemd.ready("here")
    systemd.ping_watchdog(1.0)
    systemd.stopping("gone")
    assert len(caplog.messages) == bool(address)
    assert all(message.startswith("cannot tell systemd READY=1 over NOTIFY_SOCKET=") for message in caplog.messages)


def test_listener_that_is_stuck_holds_nobody_up(receiver: NotifyReceiver, caplog: pytest.LogCaptureFixture) -> None:
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    with filler, pytest.raises(BlockingIOError):
        while True:
            filler.sendto(b"x", "\0" + receiver.name[1:] if receiver.name.startswith("@") else receiver.name)
    SystemdNotifier(receiver.name).ready("here")
    assert "cannot tell systemd READY=1" in caplog.text


# --- socket activation: in a process of its own, because the descriptors have fixed numbers -----------------------

PRELUDE = """
import logging, os, socket, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
held = []
def hand_over(*makers):
    made = [make() for make in makers]
    high = [os.dup2(sock.fileno(), 100 + index) for index, sock in enumerate(made)]
    for index, fd in enumerate(high):
        os.dup2(fd, 3 + index, inheritable=True)
        os.close(fd)
    held.extend(sock.detach() for sock in made)  # the numbers are not theirs any more
    os.environ.update(LISTEN_FDS=str(len(made)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join("abcdef"[: len(made)]))
def tcp(): return socket.create_server(("127.0.0.1", 0))
def deaf(): s = socket.socket(); s.bind(("127.0.0.1", 0)); return s
def udp(): s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); return s
def plain(): return os.fdopen(os.open("/dev/null", os.O_RDWR))
from balance.process.supervisor.systemd import activation_sockets
"""


def child(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_inherited_sockets_listen_do_not_block_and_end_at_an_exec() -> None:
    assert child("""
hand_over(tcp, tcp)
found = activation_sockets(os.environ, os.getpid())
for sock in found:
    socket.create_connection(sock.getsockname()).close()
    sock.accept()
    print(sock.fileno(), os.get_inheritable(sock.fileno()), sock.getblocking())
print(sorted(key for key in os.environ if key.startswith("LISTEN_")))
""") == ["3 False False", "4 False False", "[]"]


def test_what_is_no_listening_stream_socket_is_closed_and_named() -> None:
    assert child("""
hand_over(deaf, tcp, udp)
fd = os.dup2(os.open("/dev/null", os.O_RDWR), 6)
os.environ["LISTEN_FDS"] = "5"
print([sock.fileno() for sock in activation_sockets(os.environ, os.getpid())])
for fd in (3, 5, 6):
    try: os.fstat(fd)
    except OSError: print("closed")
""") == [
        "inherited descriptor 3 (a) is not used: it is not a listening stream socket",
        "inherited descriptor 5 (c) is not used: it is not a listening stream socket",
        "inherited descriptor 6 (unknown) is not used: Socket operation on non-socket",
        "inherited descriptor 7 (unknown) is not used: Bad file descriptor",
        "[4]",
        "closed",
        "closed",
        "closed",
    ]


@pytest.mark.parametrize(
    "change", [{"LISTEN_PID": str(PID + 1)}, {"LISTEN_PID": ""}, {"LISTEN_FDS": "many"}, {"LISTEN_FDS": ""}]
)
def test_sockets_of_another_process_are_left_alone(change: dict[str, str]) -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(PID), "LISTEN_FDNAMES": "web"} | change
    assert activation_sockets(environ, PID) == []
    assert environ == {}
