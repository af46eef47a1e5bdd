"""Log files that the supervisor opens for children."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from balance.config.model import AccessLog, LoggingConfig
from balance.errors import StartError
from balance.process.log_files import ACCESS, LOG, LogFiles


def test_files_are_opened_and_streams_are_not(tmp_path: Path) -> None:
    both = LoggingConfig(output=str(tmp_path / "a"), access_log=AccessLog(enabled=True, output=str(tmp_path / "b")))
    files = LogFiles.open(both)
    assert files.names == (LOG, ACCESS)
    received = LogFiles(files.names, [os.dup(fd) for fd in files.fds])
    files.close()
    assert (files.names, files.take(LOG)) == ((), None)
    fd = received.take(ACCESS)
    assert fd is not None
    os.write(fd, b"line\n")
    os.close(fd)
    received.close()
    assert (tmp_path / "b").read_text() == "line\n"
    assert LogFiles.open(LoggingConfig(access_log=AccessLog(enabled=True))).names == ()
    assert LogFiles.open(LoggingConfig(access_log=AccessLog(enabled=False, output=str(tmp_path / "c")))).names == ()


def test_one_that_can_t_be_opened_leaves_none_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    bad = str(tmp_path / "missing" / "b")
    with pytest.raises(StartError, match=r"^logging\.access_log\.output: cannot open .*missing/b': No such file"):
        LogFiles.open(LoggingConfig(output=str(tmp_path / "a"), access_log=AccessLog(enabled=True, output=bad)))
    assert len(os.listdir("/dev/fd")) == before
