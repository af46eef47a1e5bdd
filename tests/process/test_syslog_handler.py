"""The program's log over syslog: whole messages with their severity, nobody waits, and what is lost is counted and told."""

import logging
import re
import socket
import time
from pathlib import Path

import pytest

from balance.config.model import LoggingConfig
from balance.log_lines.syslog import syslog_target
from balance.process.logs import LineFormatter, configure, configure_child, open_output, reopen
from balance.process.syslog_handler import BACKOFF_S, SyslogHandler

MESSAGE = re.compile(rb"<(\d+)>1 \d{4}-\S+Z [!-~]+ balance \d+ - - (.*)", re.DOTALL)


def handler_to(output: str) -> SyslogHandler:
    handler = SyslogHandler(syslog_target(output), "worker 0")
    handler.setFormatter(LineFormatter(False, "worker 0"))
    return handler


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("balance.x", level, "x.py", 1, message, (), None)


def parsed(message: bytes) -> tuple[int, str]:
    match = MESSAGE.fullmatch(message)
    assert match, message
    return int(match[1]), match[2].decode().partition(": ")[2]


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_each_record_is_a_datagram_with_its_severity(family: int, tmp_path: Path) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        receiver.settimeout(10)
        port = receiver.getsockname()[1]
        handler = handler_to(f"syslog:{tmp_path / 'log'}" if family == socket.AF_UNIX else f"syslog+udp://127.0.0.1:{port}")
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            handler.emit(record("a\nb\x1b\u2028\u202e", level))
        said = [parsed(receiver.recv(9000)) for _ in range(5)]
        assert said == [(24 + severity, "a\\nb\\x1b\\u2028\\u202e") for severity in (7, 6, 4, 3, 3)]
        handler.close()


def test_tcp_has_octet_counting_and_notices_a_receiver_that_was_restarted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        handler = handler_to(f"syslog+tcp://127.0.0.1:{listening.getsockname()[1]}")
        handler.emit(record("first"))
        connection, _ = listening.accept()
        count, _, message = connection.recv(9000).partition(b" ")
        assert len(message) == int(count) and parsed(message) == (30, "first")
        connection.close()
        time.sleep(0.01)  # the end comes over the loopback at once
        handler.emit(record("lost"))
        handler._retry_at = 0.0
        handler.emit(record("third"))
        connection, _ = listening.accept()
        received = connection.recv(9000)
        assert b"1 lines were lost" in received and received.endswith(b"third")
        connection.close()
        handler.close()


def test_receiver_that_is_away_or_takes_nothing_holds_nobody_up(tmp_path: Path) -> None:
    handler = handler_to(f"syslog:{tmp_path / 'log'}")
    for _ in range(1000):
        handler.emit(record("nobody"))
    assert handler._dropped == 1000 and handler._backoff_s <= BACKOFF_S[1]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        handler._retry_at = 0.0
        for _ in range(1000):  # its queue has room for some only
            handler.emit(record("x" * 2000))
        assert handler._dropped > 500
        assert b" - - 1000 lines were lost: nobody took them" in receiver.recv(9000)
    handler.close()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        handler = handler_to(f"syslog+tcp://127.0.0.1:{listening.getsockname()[1]}")
        for _ in range(5000):
            handler.emit(record("x" * 2000))
        assert handler._dropped > 0 and len(handler._unsent) <= 1 << 16
        handler.close()


def test_log_goes_to_syslog_in_every_process_and_back_to_a_file(tmp_path: Path) -> None:
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(tmp_path / "log"))
            receiver.settimeout(10)
            config = LoggingConfig(output=f"syslog:{tmp_path / 'log'}", format="json")
            configure(config, open_output(config), "supervisor")
            configure_child(config, "control")
            logging.getLogger("balance.x").error("over there")
            assert '"process": "control", "message": "over there"' in MESSAGE.fullmatch(receiver.recv(9000))[2].decode()  # type: ignore[index]
        reopen(LoggingConfig(output=str(tmp_path / "file")))
        logging.getLogger("balance.x").error("over here")
        assert (tmp_path / "file").read_text().endswith("control: over here\n")
        reopen(config)
        assert isinstance(root.handlers[0], SyslogHandler) and root.handlers[0].process == "control"
    finally:
        root.handlers[:] = before
