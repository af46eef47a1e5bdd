"""Lines reach a syslog receiver whole, over every transport; one that is away is waited for, told of once, and harms nobody."""

import logging
import socket
import threading
from pathlib import Path

import pytest
from syslog_receivers import StreamReceiver, bound, octet_counted, text_of
from test_access_log import a_record

from balance.config.model import AccessLog as Config
from balance.log_lines.syslog import UDP_BYTES, syslog_target
from balance.proxy.access_log import AccessLog
from balance.proxy.log_outputs.syslog_output import SyslogOutput

LINES = "".join(f'{{"n": {number}}}\n' for number in range(50))


def output_to(where: str) -> SyslogOutput:
    return SyslogOutput(syslog_target(where), where)


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


@pytest.mark.parametrize("kind", ["unix", "udp"])
def test_each_line_is_a_datagram(kind: str, tmp_path: Path) -> None:
    with bound(kind, tmp_path / "log" if kind == "unix" else ("127.0.0.1", 0)) as receiver:
        output = output_to(f"syslog:{tmp_path / 'log'}" if kind == "unix" else f"syslog+udp://127.0.0.1:{port_of(receiver)}")
        received: list[bytes] = []
        reading = threading.Thread(target=lambda: received.extend(receiver.recv(9000) for _ in range(50)))
        reading.start()
        assert output.write(LINES) == 0
        reading.join()
        assert [text_of(message) for message in received] == LINES.splitlines()
        output.close()


@pytest.mark.parametrize("kind", ["unix stream", "tcp"])
def test_streams_have_whole_messages(kind: str, tmp_path: Path) -> None:
    with bound(kind, tmp_path / "log" if kind != "tcp" else ("127.0.0.1", 0)) as listening:
        output = output_to(f"syslog:{tmp_path / 'log'}" if kind != "tcp" else f"syslog+tcp://localhost:{port_of(listening)}")
        receiver = StreamReceiver(listening)
        assert output.write(LINES) == output.write(LINES * 100) == 0
        output.close()
        data = receiver.join()
        messages = octet_counted(data) if kind == "tcp" else data.splitlines()
        assert [text_of(message) for message in messages] == (LINES * 101).splitlines()


@pytest.mark.parametrize("kind", ["unix", "unix stream", "tcp"])
def test_receiver_that_comes_later_gets_every_line_and_its_absence_is_told_once(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    probe = bound("tcp", ("127.0.0.1", 0))
    where = ("127.0.0.1", port_of(probe)) if kind == "tcp" else tmp_path / "log"
    probe.close()
    log = AccessLog(
        Config(enabled=True, output=f"syslog+tcp://127.0.0.1:{where[1]}" if isinstance(where, tuple) else f"syslog:{where}")
    )
    for number in range(3):
        log.record(a_record(path=f"/{number}"))
    log.flush()
    told = threading.Event()
    while not caplog.records:
        told.wait(0.01)
    with bound(kind, where) as sock:
        if kind == "unix":
            messages = [sock.recv(9000) for _ in range(3)]
            log.close()
        else:
            receiver = StreamReceiver(sock)
            while receiver.data.count(b'"path"') < 3:
                told.wait(0.01)
            log.close()
            messages = octet_counted(receiver.join()) if kind == "tcp" else receiver.join().splitlines()
    assert [f'"path": "/{number}"' in text_of(message) for number, message in enumerate(messages)] == [True] * 3
    assert log.lost == 0
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "lines that are lost are counted" in said[0] and "is written again; 0 lines were lost" in said[1]


def test_receiver_that_was_restarted_loses_no_line() -> None:
    """The kernel takes the first message after a close without an error."""
    with bound("tcp", ("127.0.0.1", 0)) as listening:
        output = output_to(f"syslog+tcp://127.0.0.1:{port_of(listening)}")
        assert output.write("first\n") == 0
        connection, _ = listening.accept()
        assert text_of(octet_counted(connection.recv(1000))[0]) == "first"
        connection.close()
        receiver = StreamReceiver(listening)
        assert output.write("second\n") == 0
        output.close()
        assert [text_of(message) for message in octet_counted(receiver.join())] == ["second"]


def test_log_that_is_left_does_not_wait_for_a_receiver_that_never_comes(tmp_path: Path) -> None:
    log = AccessLog(Config(enabled=True, output=f"syslog:{tmp_path / 'nobody'}"))
    for _ in range(5):
        log.record(a_record())
    log.close(10.0)
    assert log.has_ended and log.lost == 5


def test_udp_that_nobody_receives_is_counted_and_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    with bound("udp", ("127.0.0.1", 0)) as sock:
        port = port_of(sock)
    output = output_to(f"syslog+udp://127.0.0.1:{port}")
    with caplog.at_level(logging.WARNING):
        assert 0 < output.write(LINES) <= 50  # the kernel tells of every second one
    assert "Connection refused" in caplog.records[0].getMessage()
    output.close()


def test_line_is_as_short_as_a_datagram_may_be() -> None:
    with bound("udp", ("127.0.0.1", 0)) as receiver:
        log = AccessLog(Config(enabled=True, output=f"syslog+udp://127.0.0.1:{port_of(receiver)}"))
        log.record(a_record(path="/" + "x" * 8000, user_agent='"' * 8000))
        log.close()
        message = receiver.recv(65536)
        assert len(message) <= UDP_BYTES
        assert text_of(message).endswith("}")


def test_name_that_does_not_resolve_is_waited_for_and_told(caplog: pytest.LogCaptureFixture) -> None:
    output = output_to("syslog+udp://nobody.invalid:514")
    output.hurry()
    assert output.write(LINES) == 50
    assert len(caplog.records) == 1
    output.close()
