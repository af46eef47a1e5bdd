"""Files with a secret: what is taken, and what is said without quoting it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from balance.process.control.http_client.client import ClientError
from balance.process.control.http_client.token_file import Reread, read_token


def test_a_token_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc.def\n")
    assert read_token(str(tmp_path / "token")) == "abc.def"


def test_what_is_no_file_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(ClientError, match=r"is no file|Is a directory"):
            read_token(str(path))


def test_reading_again_is_due_at_first_and_when_it_was_refused() -> None:
    reread = Reread()
    assert [reread.is_due(), reread.is_due()] == [True, False]
    reread.forget()
    assert reread.is_due()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"a\nb", "characters"), (b"\xff", "characters"), (b"x" * 1024 * 1024 + b"x", "longer than 1 MB")],
)
def test_what_is_no_token(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ClientError, match=words):
        read_token(str(tmp_path / "token"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_token_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "token").touch(mode=0o000)
    with pytest.raises(ClientError, match="Permission denied"):
        read_token(str(tmp_path / "token"))
