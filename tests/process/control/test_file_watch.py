"""`--watch`: what counts as a change of a file, and what does not. Each look is made by hand."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from balance.process.control.file_watch import FileWatch


class Case:
    """A file that is watched, and how often a change of it was told."""

    def __init__(self, folder: Path, *texts: str) -> None:
        self.file = folder / "balance.yaml"
        self.told = 0
        self._ns = 0
        self.write(texts[-1] if texts else "one")
        self.watch = FileWatch(None, str(self.file), texts or ("one",), lambda: None)  # type: ignore[arg-type]
        self.looks(2)

    def write(self, text: str) -> None:
        """With a time of its own, however coarse the file system's clock is."""
        self.file.write_bytes(text.encode())
        self._ns += 10**9
        os.utime(self.file, ns=(self._ns, self._ns))

    def looks(self, count: int) -> int:
        """Look so often; returns how many changes were told by it."""
        told = sum(self.watch.has_changed() for _ in range(count))
        self.told += told
        return told


@pytest.fixture
def case(tmp_path: Path) -> Case:
    case = Case(tmp_path)
    assert case.told == 0
    return case


def test_a_change_is_reported_once_it_was_the_same_in_two_polls(case: Case) -> None:
    case.write("two")
    assert case.looks(1) == 0
    assert case.looks(1) == 1
    assert case.looks(5) == 0


def test_a_file_that_is_still_written_is_not_read_yet(case: Case) -> None:
    for number in range(5):
        case.write("two" * number)
        assert case.looks(1) == 0
    assert case.looks(2) == 1


def test_a_file_that_is_touched_or_written_as_it_was_has_not_changed(case: Case) -> None:
    case.write("one")
    assert case.looks(3) == 0


def test_a_text_is_reported_once_until_there_was_another(case: Case) -> None:
    case.write("refused")
    assert case.looks(3) == 1
    case.write("refused")
    assert case.looks(3) == 0
    case.write("one")
    assert case.looks(3) == 1
    case.write("refused")
    assert case.looks(3) == 1


def test_a_file_that_another_takes_the_place_of_has_changed(case: Case, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("two")
    times = os.stat(case.file)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time
    other.rename(case.file)
    assert case.looks(2) == 1


def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "balance.yaml").write_text(name)
    (tmp_path / "now").symlink_to("one")
    told = 0
    watch = FileWatch(None, str(tmp_path / "now" / "balance.yaml"), ("one",), lambda: None)  # type: ignore[arg-type]
    for name in ("one", "two", "one"):
        (tmp_path / "next").symlink_to(name)
        (tmp_path / "next").rename(tmp_path / "now")
        told += watch.has_changed() + watch.has_changed()
    assert told == 2


def test_a_file_that_is_gone_for_a_while_is_no_change(case: Case) -> None:
    case.file.unlink()
    assert case.looks(3) == 0
    case.write("one")
    assert case.looks(3) == 0
    case.file.unlink()
    assert case.looks(3) == 0
    case.write("two")
    assert case.looks(3) == 1


def test_a_file_that_can_not_be_read_is_no_change(case: Case) -> None:
    case.file.unlink()
    case.file.mkdir()
    assert case.looks(3) == 0


def test_whoever_begins_to_look_takes_any_earlier_text_for_known(tmp_path: Path) -> None:
    # "one" was served, then "two", and an operator went back to "one" while the file says "two": it is left at that.
    case = Case(tmp_path, "one", "two", "one", "two")
    assert case.told == 0
    case.write("one")
    assert case.looks(2) == 1  # but this is new


def test_a_change_from_before_the_first_look_is_told(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.write("two")
    case.watch = FileWatch(None, str(case.file), ("one",), lambda: None)  # type: ignore[arg-type]
    assert case.looks(2) == 1


def test_it_looks_by_itself_and_goes_on_when_whoever_is_told_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.process.control.polling.POLL_INTERVAL_S", 0.001)
    file = tmp_path / "balance.yaml"
    file.write_text("two")
    told = 0

    def on_change() -> None:
        nonlocal told
        told += 1
        file.write_text("more" * told)
        raise RuntimeError

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        FileWatch(loop, str(file), ("one",), on_change).start()
        async with asyncio.timeout(10):
            while told < 3:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)

    asyncio.run(watch())


def test_a_file_that_nobody_can_look_at_holds_nothing_up_and_is_looked_at_by_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balance.process.control.polling.POLL_INTERVAL_S", 0.001)
    file = tmp_path / "balance.yaml"
    file.write_text("two")
    hung, looks = threading.Event(), []

    class Hung(FileWatch):
        """Its share does not answer until it is told to."""

        def has_changed(self) -> bool:
            looks.append(threading.current_thread())
            assert hung.wait(10)
            return super().has_changed()

    async def watch() -> None:
        told = asyncio.Event()
        Hung(asyncio.get_running_loop(), str(file), ("one",), told.set).start()
        async with asyncio.timeout(10):
            for _ in range(20):  # the loop goes on
                await asyncio.sleep(0.001)
            assert len(looks) == 1
            assert looks[0].daemon  # the process can end
            hung.set()
            await told.wait()
            assert threading.current_thread() not in looks

    asyncio.run(watch())


def test_a_file_that_is_a_pipe_for_a_while_holds_up_no_look(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("one")
    watch = FileWatch(asyncio.new_event_loop(), str(file), ["one"], lambda: None)
    file.unlink()
    os.mkfifo(file)
    looks = threading.Thread(target=lambda: [watch.has_changed() for _ in range(3)], daemon=True)
    looks.start()
    looks.join(5.0)
    assert not looks.is_alive()
    file.unlink()
    file.write_text("two")
    assert [watch.has_changed() for _ in range(2)] == [False, True]
