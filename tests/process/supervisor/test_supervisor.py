"""Signals of every kind, to a whole instance: what is in flight ends well, and no process is left."""

import http.client
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until
from websockets import ConnectionClosed, Request, Response
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from balance.process.supervisor.supervisor import SIGNAL_DEBOUNCE_S

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}


def in_background(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Make a call that will take its time; what it returns or raises is in the list at the end."""
    outcome: list[object] = []

    def work() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, outcome


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_finishes_what_is_in_flight_and_refuses_what_is_new(run: Run, origins: Origins) -> None:
    origin = origins()
    instance = run(backends=[{"address": origin.address}], shutdown={"delay": "300ms"}, **HTTP).ready()
    thread, outcome = in_background(lambda: instance.get("/slow"))
    assert origin.waiting.wait(20)
    instance.process.send_signal(signal.SIGTERM)
    instance.saying("still accepting for 0.3s")
    assert instance.ask("/ready") == (503, {"status": "not ready", "reasons": ["draining"]})
    assert instance.ask("/health")[0] == 200
    assert instance.get() == (200, "b1")  # whoever has not noticed yet is served
    instance.saying("draining: no new connections")
    until(lambda: refused(instance.port), "the first refusal")
    origin.released.set()
    assert instance.ended() == 0
    thread.join(20)
    assert outcome == [(200, "b1")]


def test_the_stop_goes_in_order_and_websockets_are_told_last(run: Run) -> None:
    waiting, released = threading.Event(), threading.Event()

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ws":
            return None
        if request.path == "/slow":
            waiting.set()
            released.wait(20)
        return connection.respond(200, "served")

    def talk(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)
        codes.append(connection.close_code)

    codes: list[int | None] = []
    with serve_websockets(talk, "127.0.0.1", 0, process_request=answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        backends = [{"address": f"127.0.0.1:{server.socket.getsockname()[1]}"}]
        times = {"shutdown": {"delay": "500ms"}, "timeouts": {"drain": "5s"}}
        instance = run(backends=backends, **times, **HTTP).ready()

        def said(client: http.client.HTTPConnection) -> str | None:
            client.request("GET", "/")
            reply = client.getresponse()
            assert reply.read() == b"served"
            return reply.getheader("Connection")

        def slow() -> str | None:
            client = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=20)
            client.request("GET", "/slow")
            return client.getresponse().getheader("Connection")

        with connect(f"ws://127.0.0.1:{instance.port}/ws", open_timeout=20) as websocket:
            idle = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=20)
            assert said(idle) != "close"
            thread, outcome = in_background(slow)
            assert waiting.wait(20)
            instance.process.send_signal(signal.SIGTERM)
            instance.saying("still accepting")
            assert instance.ask("/ready")[0] == 503
            assert said(http.client.HTTPConnection("127.0.0.1", instance.port, timeout=20)) != "close"
            instance.saying("draining: no new connections")
            until(lambda: refused(instance.port), "the first refusal")
            assert idle.sock.recv(1) == b""
            released.set()
            thread.join(20)
            assert outcome == ["close"]
            websocket.send("still here")
            assert websocket.recv(timeout=20) == "still here"
            with pytest.raises(ConnectionClosed):
                websocket.recv(timeout=20)
            assert websocket.close_code == 1001
        assert instance.ended() == 0
        assert codes == [1001]
        assert "were cut" not in instance.log


def test_ctrl_c_in_a_terminal_ends_everything_in_order(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], shutdown={"delay": "1h"}, **HTTP).ready()
    os.killpg(instance.process.pid, signal.SIGINT)
    assert instance.ended() == 0
    assert instance.group_is_empty()
    assert "Traceback" not in instance.log
    assert "killed" not in instance.log


def test_sigterm_to_the_whole_group_is_the_supervisors_to_obey(run: Run, origins: Origins) -> None:
    # systemd's KillMode=control-group and `timeout` signal every process, not only the first.
    instance = run(backends=[{"address": origins().address}], shutdown={"delay": "300ms"}, **HTTP).ready()
    os.killpg(instance.process.pid, signal.SIGTERM)
    assert instance.ended() == 0
    assert instance.group_is_empty()
    assert "successor" not in instance.log


def test_signal_and_its_echo_are_one_order(run: Run, origins: Origins) -> None:
    origin = origins()
    instance = run(backends=[{"address": origin.address}], shutdown={"delay": 0}, **HTTP).ready()
    thread, outcome = in_background(lambda: instance.get("/slow"))
    assert origin.waiting.wait(20)
    instance.process.send_signal(signal.SIGTERM)
    os.killpg(instance.process.pid, signal.SIGTERM)  # `timeout` does both
    instance.saying("draining")
    origin.released.set()
    assert instance.ended() == 0
    thread.join(20)
    assert outcome == [(200, "b1")]


def test_ctrl_c_during_the_start_is_no_fault_of_anybody(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], **HTTP)
    instance.saying("workers: ")
    os.killpg(instance.process.pid, signal.SIGINT)
    assert instance.ended() == 0
    assert "could not start" not in instance.log


def test_the_second_signal_stops_at_once(run: Run, origins: Origins) -> None:
    origin = origins()
    instance = run(backends=[{"address": origin.address}], **HTTP).ready()
    thread, outcome = in_background(lambda: instance.get("/slow"))
    assert origin.waiting.wait(20)
    instance.process.send_signal(signal.SIGINT)
    instance.saying("draining")
    # An echo of the first one is not a second one; and some come while it ends, which changes nothing any more.
    while not instance.exits_within(0.002):
        instance.process.send_signal(signal.SIGINT)
    assert instance.ended() == 1
    thread.join(20)
    assert [type(error) for error in outcome] == [http.client.RemoteDisconnected]
    assert instance.group_is_empty()
    assert "killed while still draining" in instance.log


def test_the_second_signal_counts_where_nobody_is_left_to_kill(run: Run, origins: Origins) -> None:
    """All is over in the turn in which the signal is read, as where the killed are gone before the supervisor goes on."""
    origin = origins()
    instance = run(backends=[{"address": origin.address}], **HTTP).ready()
    thread, outcome = in_background(lambda: instance.get("/slow"))
    assert origin.waiting.wait(20)
    instance.process.send_signal(signal.SIGINT)
    instance.saying("draining")
    instance.process.send_signal(signal.SIGSTOP)
    for pid in Path(f"/proc/{instance.process.pid}/task/{instance.process.pid}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    time.sleep(SIGNAL_DEBOUNCE_S)  # a signal before that is an echo of the first
    instance.process.send_signal(signal.SIGINT)
    instance.process.send_signal(signal.SIGCONT)
    assert instance.ended() == 1
    thread.join(20)
    assert [type(error) for error in outcome] == [http.client.RemoteDisconnected]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_after_an_order_to_stop_kills_nobody(run: Run, origins: Origins, signum: signal.Signals) -> None:
    """A service manager that is told to run `balance stop` sends SIGTERM when that has returned."""
    origin = origins()
    shutdown = {"delay": "60s" if signum == signal.SIGINT else "0s"}
    instance = run(backends=[{"address": origin.address}], shutdown=shutdown, **HTTP).ready()
    thread, outcome = in_background(lambda: instance.get("/slow"))
    assert origin.waiting.wait(20)
    assert instance.command("stop") == (0, "draining\n")
    instance.process.send_signal(signum)
    instance.saying(f"{signum.name} received: it ends already; one more ends it at once")
    instance.saying("draining: no new connections")
    origin.released.set()
    assert instance.ended() == 0
    thread.join(20)
    assert outcome == [(200, "b1")]


def test_what_does_not_end_in_time_is_cut_and_told(run: Run, origins: Origins) -> None:
    origin = origins()
    instance = run(backends=[{"address": origin.address}], timeouts={"drain": "300ms"}, **HTTP).ready()
    thread, outcome = in_background(lambda: instance.get("/slow"))
    assert origin.waiting.wait(20)
    instance.process.send_signal(signal.SIGTERM)
    assert instance.ended() == 0
    thread.join(20)
    assert outcome and outcome != [(200, "b1")]
    assert re.search(r"worker \d: 1 requests or connections were cut after 0.3s of draining", instance.log)


def test_sighup_to_the_whole_group_reloads_and_kills_nobody(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], **HTTP).ready()
    os.killpg(instance.process.pid, signal.SIGHUP)
    instance.saying(r"nothing changed, configuration 1 goes on \(SIGHUP\)")
    assert instance.get() == (200, "b1")
    assert instance.metric("balance_worker_restarts_total") == 0
