"""Reading the files of access lists."""

import os
from pathlib import Path

import pytest

from balance.access_lists.list_file import ListFileError
from balance.config import load_file
from balance.config.reading.access_list_files import read_list
from balance.errors import ConfigError

TEXT = "listen: ':1'\nbackends: [{address: a:1}]\nsecurity:\n  %s\n"
BLOCK = TEXT % "ip_blocklist: {files: [bad.txt]}"
ALLOW = TEXT % "ip_allowlist_files: bad.txt"


def written(folder: Path, text: str, content: bytes | None) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    if content is not None:
        (folder / "bad.txt").write_bytes(content)
    return file


def test_a_list_is_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    lists = load_file(written(tmp_path, BLOCK, b"10.0.0.0/8 # all\n::1\n"), {}).config.listeners[0].access_lists
    assert [str(file) for file in lists.block_files] == ["bad.txt (2 ranges)"]
    assert not lists.admits(bytes(15) + b"\x01")
    lists = load_file(written(tmp_path, ALLOW, b"10.0.0.0/8\n"), {}).config.listeners[0].access_lists
    assert lists.admits(b"\x0a\0\0\x01")
    assert not lists.admits(b"\x0b\0\0\x01")


@pytest.mark.parametrize(
    ("text", "content", "message"),
    [
        (BLOCK, None, "'bad.txt' can't be read: No such file or directory"),
        (BLOCK, b"10.0.0.1\n10.0.0.1/8\n", "{}/bad.txt:2: '10.0.0.1/8' has bits set beyond its prefix; write 10.0.0.0/8"),
        (ALLOW, b"# nobody\n", "{}/bad.txt: is empty, and nobody could connect"),
    ],
)
def test_a_list_that_is_wrong_is_an_error_with_its_line(tmp_path: Path, text: str, content: bytes | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_file(written(tmp_path, text, content), {})
    (problem,) = caught.value.problems
    assert problem.message == message.format(tmp_path)
    assert problem.line == 4


def test_what_may_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(ListFileError, match="is not a file"):
            read_list(str(path), is_needed=False)
