"""Where syslog messages go, and that each is one of RFC 5424."""

import re

import pytest

from balance.log_lines.syslog import DAEMON, ERROR, INFO, LOCAL7, Transport, counted, header, is_syslog, syslog_target
from balance.model import Address


@pytest.mark.parametrize(
    ("output", "transport", "address"),
    [
        ("syslog:/dev/log", Transport.UNIX, Address("", 0, "/dev/log")),
        ("syslog+udp://127.0.0.1:514", Transport.UDP, Address("127.0.0.1", 514)),
        ("syslog+tcp://[::1]:601", Transport.TCP, Address("::1", 601)),
        ("syslog+tcp://logs.example:601", Transport.TCP, Address("logs.example", 601)),
    ],
)
def test_target_is_read(output: str, transport: Transport, address: Address) -> None:
    assert is_syslog(output)
    assert syslog_target(output) == (transport, address)


@pytest.mark.parametrize(
    "output",
    ["syslog:", "syslog:dev/log", "syslog:/" + "x" * 107, "syslog+udp:127.0.0.1:514", "syslog+udp://127.0.0.1", "syslog+tcp://:514",
     "syslog+tcp://h:0", "syslog+tcp://h:99999", "syslog+tls://h:6514", "syslog+udp://h:514/x"],
)  # fmt: skip
def test_target_that_is_none_is_refused_in_a_line(output: str) -> None:
    assert is_syslog(output)
    with pytest.raises(ValueError, match=r"syslog") as told:
        syslog_target(output)
    assert repr(output) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("output", ["stdout", "/var/log/syslog", "syslog", "./syslog:x"])
def test_files_are_no_syslog(output: str) -> None:
    assert not is_syslog(output)


def test_header_is_that_of_rfc_5424() -> None:
    time = "2025-11-29T10:32:25.567Z"
    assert header(LOCAL7, INFO, time, "host", 7, "access") == b"<190>1 2025-11-29T10:32:25.567Z host balance 7 access - "
    assert header(DAEMON, ERROR, time, "a b\n\xe9" + "x" * 300, 7, "-").startswith(b"<27>1 2025-11-29T10:32:25.567Z abx")
    assert re.fullmatch(rb"<27>1 \S+ - balance 7 - - ", header(DAEMON, ERROR, time, "", 7, "-"))
    assert counted(b"abc") == b"3 abc"
