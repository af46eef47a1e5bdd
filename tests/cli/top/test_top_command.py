"""`balance top` on a pseudo-terminal of 80x24, and without one."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from pseudo_terminal import PseudoTerminal
from state_server import OUT, StateServer, backend, serving_state, state

from balance.cli.main import cli, run

pytestmark = pytest.mark.long


@pytest.fixture
def server() -> Iterator[StateServer]:
    backends = [backend(1), backend(2, **OUT), backend(3), backend(4, "shop", rate=99.0)]
    with serving_state(state(*backends)) as found:
        yield found


def top(server: StateServer, *words: str, **options: object) -> PseudoTerminal:
    return PseudoTerminal(["top", "--admin", server.address, "--interval", "200ms", *words], **options)  # type: ignore[arg-type]


def order_of(terminal: PseudoTerminal) -> list[str]:
    """The names in the table from top to bottom."""
    return [line[1:].split()[0] for line in terminal.lines[4:20] if line[1:].strip()]


def test_all_that_matters_is_on_80x24_and_keys_do_what_the_help_says(server: StateServer) -> None:
    with top(server) as terminal:
        terminal.until_shown("app/b1", "shop/b4")
        lines = terminal.lines
        assert lines[0].startswith(f"balance 0.1.0 {server.address}  healthy, ready  serving  up 62m  gen 4")
        assert lines[1].startswith("req/s 1234  4xx/s 2  5xx/s 0.3  p50 1.2ms  p99 45ms  act 17  conns 345  wait 0")
        assert lines[2] == "4 backends, 1 OUT in 2 pools"
        assert lines[3].split() == ["BACKEND", "STATE", "CIRC", "WGT", "SH/DUE%", "ACT", "REQ/S", "P50", "P99", "ERR/S"]
        assert lines[4].split() == [">app/b1", "healthy", "closed", "1", "25/25", "1", "10", "1.2ms", "125ms", "0"]
        assert lines[5].split()[:3] == ["app/b2", "unhealthy", "OPEN"]
        assert "Its health checks fail (connection refuse~" in lines[5]
        assert lines[23].startswith("q quit  ? help")
        assert all(len(line) <= 80 for line in lines)
        # a row of its own for the chosen one
        terminal.press("j")
        terminal.until_shown("app/b2: Its health checks fail", "errors: connect_refused 12, reset 3 (last")
        # sort
        terminal.press(*"sssssss")
        terminal.until_shown("by req/s")
        assert order_of(terminal) == ["shop/b4", "app/b3", "app/b1", "app/b2"]
        assert "REQ/v" in terminal.lines[3]
        terminal.press("r")
        terminal.until_shown("by req/s reversed")
        terminal.press(*"rSSSSSSS")
        terminal.until_gone("by req/s")
        # filter
        terminal.press(*"/unhea")
        terminal.until_shown("/unhea_", "1 match 'unhea'")
        assert order_of(terminal) == ["app/b2"]
        terminal.press("backspace", "enter")
        terminal.until_shown("1 match 'unhe'")
        terminal.press("escape")
        terminal.until_gone("match")
        # pools
        terminal.press("p")
        terminal.until_shown("ALGORITHM", "round-robin")
        terminal.press("G", "enter")
        terminal.until_shown("pool shop")
        assert order_of(terminal) == ["shop/b4"]
        terminal.press("escape", "?")
        terminal.until_shown("any key closes this", "drain, enable, maintenance")
        terminal.press("x")
        terminal.until_shown("BACKEND")
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_restored


def test_an_order_is_confirmed_and_goes_to_the_chosen_backend(server: StateServer) -> None:
    with top(server) as terminal:
        terminal.until_shown("app/b3")
        terminal.press("j", "j", "d")
        terminal.until_shown("3 of 4 backends of pool app stay", "Drain app/b3? y yes, n no")
        terminal.press("x", "n")
        terminal.until_shown("app/b3 is left as it is")
        assert [order[1:] for order in server.orders] == [("dry_run=true", {"state": "drain"}, None)]
        terminal.press("d")
        terminal.until_shown("Drain app/b3?")
        terminal.press("y")
        terminal.until_shown("app/b3 is draining")
        terminal.until_shown("draining     closed"[:8], "Somebody drained it")
        assert server.orders[-1] == ("/backends/app/b3", "", {"state": "drain"}, '"v3"')
        # somebody else is faster
        terminal.press("k", "k", "d")
        terminal.until_shown("Drain app/b1?")
        server.change(backends={"app/b1": server.state["backends"]["app/b1"] | {"version": "other"}})
        terminal.press("y")
        terminal.until_shown("app/b1 is left as it is: somebody was faster: it is drained")
        terminal.press("q")
        assert terminal.ended() == 0


def test_a_window_of_another_size_is_drawn_anew(server: StateServer) -> None:
    with top(server, width=12, height=4) as terminal:
        terminal.until_shown("balance")
        terminal.resize(140, 10)
        terminal.until(lambda: "WHY" in terminal.lines[3] and terminal.lines[9].startswith("q quit"), "a wide one")
        for width, height in ((30, 8), (10, 3), (1, 1), (200, 60), (80, 24)):
            terminal.resize(width, height)
            if height > 2:
                terminal.until(lambda width=width: terminal.lines[0].startswith("balance"[:width]), f"{width}x{height}")
            else:
                time.sleep(0.3)
        terminal.until_shown("app/b1", "shop/b4", "q quit  ? help")
        assert terminal.lines[3].split()[0] == "BACKEND"
        terminal.press("q")
        assert (terminal.ended(), terminal.is_restored) == (0, True)


def test_lost_contact_is_said_and_comes_back_by_itself(server: StateServer) -> None:
    with top(server) as terminal:
        terminal.until_shown("app/b1", "healthy, ready")
        server.stop()
        terminal.until_shown("NO CONTACT since ", "app/b1")
        terminal.press("d")
        terminal.until_shown("no orders while there is no contact")
        server.state["instance"]["id"] = "i2"
        server.start()
        terminal.until_shown("contact is back after", "the instance was started anew", "healthy, ready")
        terminal.press("q")
        assert terminal.ended() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=lambda value: str(value))
def test_whatever_ends_it_the_terminal_is_as_before(server: StateServer, number: signal.Signals, status: int) -> None:
    with top(server) as terminal:
        terminal.until_shown("app/b1")
        assert terminal.settings[:4] != terminal.before[:4]
        if number == signal.SIGINT:
            terminal.press("\x03")
        else:
            terminal.process.send_signal(number)
        assert (terminal.ended(), terminal.is_restored) == (status, True)
        assert b"Traceback" not in terminal.raw


def test_it_ends_with_its_terminal_though_no_signal_says_so(server: StateServer) -> None:
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "balance", "top", "--admin", server.address]
    with subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=os.environ | {"TERM": "xterm"}) as process:
        try:
            os.close(slave)
            shown = b""
            while b"app/b1" not in shown:
                shown += os.read(master, 65536)
            os.close(master)
            assert process.wait(20)
        finally:
            process.kill()


def test_an_error_within_leaves_the_terminal_as_before(server: StateServer) -> None:
    with top(server) as terminal:
        terminal.until_shown("app/b1")
        nonsense = backend(1, version=["not", "text"], breaker=5, errors_by_why=[1], rate="fast", weight=True, state=None)
        server.change(backends={"app/b1": nonsense | {"order": "first"}, "app/b3": 5})
        terminal.until_shown("app/b1")  # nonsense is no error
        server.change(instance=5, totals="x", pools=[], backends={})
        terminal.until_shown("req/s -")
        terminal.press("q")
        assert terminal.ended() == 0


def test_it_can_be_suspended_and_goes_on(server: StateServer) -> None:
    shell = PseudoTerminal([], program=("bash", "--norc", "--noprofile", "-i"), env={"PS1": "ready> ", "HISTFILE": None})
    with shell as terminal:
        terminal.until_shown("ready>")
        terminal.press(f"{sys.executable} -m balance top --admin {server.address}", "enter")
        terminal.until_shown("q quit  ? help")
        terminal.press("\x1a")
        terminal.until_shown("Stopped")
        assert terminal.is_left
        terminal.press("fg", "enter")
        terminal.until(lambda: not terminal.is_left, "the terminal again")
        terminal.until_shown("q quit  ? help", "app/b1")
        terminal.press("q")
        terminal.until(lambda: terminal.is_left, "the terminal back")
        terminal.press("echo left with $?", "enter")
        terminal.until_shown("left with 0")


def test_names_of_others_cannot_reach_the_terminal(server: StateServer) -> None:
    evil = "x\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
    row = backend(7, name=evil, state=evil, reason=f"because {evil}", out=True, errors_by_why={evil: 1}, rate=0, active=0)
    server.change(backends={f"app/{evil}": row}, totals={}, instance={"version": evil, "stage": evil})
    with top(server) as terminal:
        terminal.until_shown("app/x\\x1b"[:8])
        terminal.press("end")
        terminal.until_shown("\\x07\\x1b[2J"[:4])
        assert b"\x1b]0;owned" not in terminal.raw and b"\x07" not in terminal.raw and b"\x1b[2J\xc2" not in terminal.raw
        assert "\u202e".encode() not in terminal.raw
    done = subprocess.run(
        [sys.executable, "-m", "balance", "top", "--once", "--admin", server.address], capture_output=True, check=True
    )
    assert not {b for b in done.stdout if b < 32} - {10} and b"\xc2\x9b" not in done.stdout


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {}], ids=lambda env: "-".join(env) or "colour")
def test_colour_is_left_out_where_it_is_not_wanted(server: StateServer, env: dict[str, str]) -> None:
    with top(server, env=dict(env)) as terminal:
        terminal.until_shown("app/b2", "unhealthy")
        colours = {terminal.cell(5, column).fg for column in range(40)}
        assert (colours == {"default"}) is bool(env)
        assert "OPEN" in terminal.lines[5]


@pytest.mark.parametrize("term", [None, "no-such-terminal"])
def test_without_a_terminal_that_is_known_it_prints(server: StateServer, term: str | None) -> None:
    with top(server, env={"TERM": term}) as terminal:
        terminal.until(lambda: terminal.raw.count(b"BACKEND") >= 2, "twice")
        assert b"\x1b" not in terminal.raw
        terminal.press("\x03")
        assert terminal.ended() == 130


def test_into_a_pipe_it_prints_again_and_again(server: StateServer) -> None:
    words = [sys.executable, "-m", "balance", "top", "--admin", server.address, "--interval", "200ms"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            heads = [process.stdout.readline() for _ in range(20)]
            assert sum(line.startswith("BACKEND") for line in heads) == 2
            server.stop()
            assert "no contact since" in process.stderr.readline()
            server.start()
            assert "contact is back" in process.stderr.readline()
            process.stdout.close()  # its reader leaves
            assert process.wait(20) == 1
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_two_thousand_backends_are_usable() -> None:
    backends = [backend(number, f"pool-{number % 50}", address="10.0.0.1:80") for number in range(2000)]
    with serving_state(state(*backends)) as server, top(server) as terminal:
        terminal.until_shown("2000 backends in 50 pools")
        began = time.monotonic()
        terminal.press("end")
        terminal.until_shown(">pool-49/b1999")
        terminal.press(*"/b1234", "enter")
        terminal.until_shown("1 match 'b1234'", "pool-34/b1234")
        terminal.press("escape", "p")
        terminal.until_shown("ALGORITHM")
        terminal.press("q")
        assert terminal.ended() == 0
        assert time.monotonic() - began < 15.0


def test_scripts_get_one_document(server: StateServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["top", "--once", "--json", "--admin", server.address]) == 0
    assert json.loads(capsys.readouterr().out) == server.state
    assert run(cli, ["top", "--once", "--admin", server.address]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[3].split()[-1] == "WHY"
    assert said[5].endswith("Its health checks fail (connection refused); it is back after 2 good checks in a row.")
    assert run(cli, ["top", "--interval", "10ms", "--admin", server.address]) == 2
    assert "0.01s is too often; at least 0.2s" in capsys.readouterr().err
    server.stop()
    assert run(cli, ["top", "--once", "--admin", server.address]) == 2
