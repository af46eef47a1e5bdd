"""A file is read once it rests, and what it has is found once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from balance.discovery.endpoint_file import MAX_FILE_BYTES
from balance.process.control.discovery.file_look import Content, FileFeed, FileLook


def found(look: FileLook, looks: int = 3) -> list[Content]:
    """What so many looks find."""
    return [content for _ in range(looks) if (content := look.look()) is not None]


def test_a_file_is_found_once_it_was_the_same_in_two_looks(tmp_path: Path) -> None:
    """S7: who writes in place may be in the middle of it."""
    file = tmp_path / "b.yaml"
    look = FileLook(str(file), 0.0)
    file.write_text("- 10.0.")
    assert look.look() is None
    assert look.is_settling
    file.write_text("- 10.0.0.1:80\n")
    assert look.look() is None
    assert found(look, 1) == [Content(b"- 10.0.0.1:80\n")]
    assert found(look) == []


def rewritten(folder: Path) -> None:
    (folder / "b.yaml").write_text("new")


def renamed(folder: Path) -> None:
    (folder / "other").write_text("new")
    (folder / "other").rename(folder / "b.yaml")


def of_the_same_size_and_time(folder: Path) -> None:
    status = (folder / "b.yaml").stat()
    (folder / "b.yaml").write_text("new")
    os.utime(folder / "b.yaml", ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [rewritten, renamed, of_the_same_size_and_time])
def test_other_content_is_found_however_it_came(tmp_path: Path, change: Callable[[Path], None]) -> None:
    (tmp_path / "b.yaml").write_text("old")
    look = FileLook(str(tmp_path / "b.yaml"), 0.0)
    assert found(look) == [Content(b"old")]
    change(tmp_path)
    assert found(look) == [Content(b"new")]


def test_the_swap_of_a_configmap_is_found(tmp_path: Path) -> None:
    """S8: ..data is a link to a folder, and is swapped by a rename."""
    for name, text in (("..1", "old"), ("..2", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "b.yaml").symlink_to("..data/b.yaml")
    look = FileLook(str(tmp_path / "b.yaml"), 0.0)
    assert found(look) == [Content(b"old")]
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert found(look) == [Content(b"new")]


def test_a_file_that_never_rests_is_read_after_a_while_when_it_is_replaced_and_not_when_it_is_written(tmp_path: Path) -> None:
    """S16: 200 renames in a second must not hide the file for that long."""
    for is_replaced in (True, False):
        file = tmp_path / f"b{is_replaced}.yaml"
        file.write_text("0")
        look = FileLook(str(file), 1000.0, 0.0)
        looks = []
        for number in range(1, 50):
            new = tmp_path / f"{is_replaced}{number}" if is_replaced else file
            new.write_text(str(number) * number)
            if is_replaced:
                new.rename(file)
            looks.append(look.look())
        assert any(looks) is is_replaced


def test_a_file_that_is_touched_is_not_news(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("old")
    look = FileLook(str(file), 0.0)
    assert len(found(look)) == 1
    os.utime(file, (1, 1))
    assert found(look) == []


def test_what_can_not_be_read_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    look = FileLook(str(file), 0.0)
    assert found(look) == [Content(b"", "can't be read: No such file or directory")]
    assert found(look) == []
    file.write_text("x")
    assert found(look) == [Content(b"x")]
    file.unlink()
    assert found(look) == [Content(b"", "can't be read: No such file or directory")]
    os.mkfifo(file)
    assert found(look) == [Content(b"", "is not a file")]
    file.unlink()
    with file.open("wb") as large:
        large.truncate(MAX_FILE_BYTES + 1)
    assert found(look) == [Content(b"", "is larger than 4 MB")]
    assert found(FileLook("a\0b", 0.0))[0].failure.startswith("can't be read")


def test_a_feed_tells_who_follows_a_file() -> None:
    feed = FileFeed()
    woken: list[str] = []

    def wake() -> None:
        woken.append("a")

    feed.follow("a", wake)
    feed.put("a", Content(b"1"))
    feed.put("b", Content(b"2"))
    assert (woken, feed.content("a"), feed.content("c")) == (["a"], Content(b"1"), None)
    feed.leave("a", wake)
    feed.put("a", Content(b"3"))
    assert woken == ["a"]
