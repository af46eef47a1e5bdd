"""A file that takes lines: whole ones, whatever becomes of it, and what it loses is counted and told once."""

import contextlib
import fcntl
import json
import logging
import os
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from balance.proxy.log_outputs.file_output import PIPE_BYTES, FileOutput

LINE = "x" * 99 + "\n"


def looks_now(output: FileOutput) -> None:
    output._look_at = 0.0


@pytest.mark.parametrize("how", ["moved", "moved and made", "deleted", "folder moved"])
def test_file_that_was_taken_away_is_begun_anew(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path, old = folder / "access.log", tmp_path / "old"
    output = FileOutput(str(path))
    assert output.write("first\n") == 0
    if how == "folder moved":
        folder.rename(old)
        folder.mkdir()
        old /= "access.log"
    elif how == "deleted":
        path.unlink()
    else:
        path.rename(old)
    if how == "moved and made":
        path.touch()
    looks_now(output)
    assert output.write("second\n") == 0
    assert path.read_text() == "second\n"
    assert how == "deleted" or old.read_text() == "first\n"
    output.close()


def test_file_whose_folder_is_gone_goes_on_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").mkdir()
    output = FileOutput(str(tmp_path / "logs" / "access.log"))
    (tmp_path / "logs").rename(tmp_path / "old")
    for _ in range(3):
        looks_now(output)
        assert output.write("line\n") == 0
    assert (tmp_path / "old" / "access.log").read_text() == "line\n" * 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.endswith(") was moved away and can't be opened anew: No such file or directory")
    output.close()


def test_file_that_was_truncated_begins_at_its_begin(tmp_path: Path) -> None:
    """As logrotate's copytruncate does."""
    path = tmp_path / "access.log"
    output = FileOutput(str(path))
    output.write(LINE * 10)
    os.truncate(path, 0)
    output.write(LINE)
    assert path.read_text() == LINE
    output.close()


def test_disk_that_is_full_loses_lines_that_are_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    output = FileOutput("/dev/full")
    with caplog.at_level(logging.WARNING):
        assert [output.write(LINE * 3) for _ in range(3)] == [3, 3, 3]
    assert [record.getMessage() for record in caplog.records] == [
        "the access log (/dev/full): No space left on device; traffic goes on, and lines that are lost are counted"
    ]
    output.close()


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_disk_that_has_room_again_is_written_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)], check=False).returncode:
        pytest.skip("tmpfs can't be mounted here")
    try:
        output = FileOutput(str(tmp_path / "access.log"))
        lost = sum(output.write(LINE * 100) for _ in range(10))
        written = (tmp_path / "access.log").read_text().count(LINE)
        assert written + lost == 1000 and lost > 300
        os.truncate(tmp_path / "access.log", 0)
        assert output.write(LINE) == 0
        assert (tmp_path / "access.log").read_text().splitlines()[-1] == LINE.strip()
        assert [record.getMessage().partition(";")[0].rpartition(") ")[2] for record in caplog.records][1:] == [
            "is written again"
        ]
        assert "No space left on device" in caplog.records[0].getMessage()
        output.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=False)


LIMITED = """
import json, logging, resource, sys
sys.path[:1] = [sys.argv[2]]
from balance.proxy.log_outputs.file_output import FileOutput
logging.basicConfig(stream=sys.stderr, format="%(message)s")
output = FileOutput(sys.argv[1])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (250, hard))
lost = [output.write(("x" * 99 + "\\n") * 2), output.write(("y" * 99 + "\\n") * 2)]
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
lost.append(output.write("z" * 99 + "\\n"))
print(json.dumps(lost))
"""


def test_file_that_may_grow_again_goes_on_with_a_whole_line(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "log"), root], capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout) == [0, 2, 0]
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == ["x" * 99] * 2 + ["y" * 50] + ["z" * 99]
    assert "File too large" in run.stderr and "is written again; 2 lines were lost" in run.stderr


def test_workers_with_one_pipe_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    outputs = [FileOutput(str(path)) for _ in range(4)]
    assert outputs[0].longest == PIPE_BYTES
    batches = ["".join(f"{number}{'x' * (size % 3000)}\n" for size in range(0, 90_000, 700)) for number in range(4)]
    threads = [threading.Thread(target=output.write, args=(batch,)) for output, batch in zip(outputs, batches, strict=True)]
    for thread in threads:
        thread.start()
    received = bytearray()
    os.set_blocking(reader, True)
    while len(received) < sum(map(len, batches)):
        received += os.read(reader, 1 << 14)
    for thread in threads:
        thread.join()
    lines = received.decode().splitlines()
    assert sorted(lines) == sorted("".join(batches).splitlines())
    for output in outputs:
        output.close()
    os.close(reader)


def test_a_pipe_that_is_full_is_waited_for_whatever_its_descriptor(tmp_path: Path) -> None:
    """Many clients have come before the log was opened anew."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    output = FileOutput(str(path))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 4096), limits[1]))
    fd, output._fd = output._fd, fcntl.fcntl(output._fd, fcntl.F_DUPFD, 2048)
    try:
        os.close(fd)
        os.set_blocking(output._fd, False)
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += os.write(output._fd, b"y" * PIPE_BYTES)
        thread = threading.Thread(target=output.write, args=(LINE * 200,))
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        os.set_blocking(reader, True)
        received = bytearray()
        while len(received) < filled + 200 * len(LINE):
            received += os.read(reader, 1 << 14)
        thread.join()
        assert received[filled:].decode() == LINE * 200
    finally:
        output.close()
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_pipe_whose_reader_is_gone_is_counted_and_one_that_comes_back_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    output = FileOutput(str(path))
    os.close(reader)
    assert [output.write(LINE), output.write(LINE)] == [1, 1]
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert output.write(LINE) == 0
    assert os.read(reader, 1000) == LINE.encode()
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        f"the access log ({path}): Broken pipe", f"the access log ({path}) is written again"
    ]  # fmt: skip
    output.close()
    os.close(reader)


def test_inherited_descriptor_is_written_to_where_its_name_can_not_be_opened() -> None:
    """A container whose stdout is a socket, or another user's pipe: /dev/stdout can't be opened there."""
    text = "from balance.proxy.log_outputs.file_output import FileOutput\nFileOutput('/dev/stdout').write('line\\n')"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run([sys.executable, "-c", text], stdout=theirs, check=True, cwd=Path(__file__).parents[3])
        assert ours.recv(100) == b"line\n"
