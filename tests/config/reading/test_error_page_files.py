"""Reading the files of http.error_pages."""

from pathlib import Path

import pytest

from balance.config import load_file
from balance.errors import ConfigError

TEXT = "listen: ':1'\nbackends: [{address: a:1}]\nhttp: {error_pages: {503: sorry.html}}\n"


def written(folder: Path, page: bytes | None) -> Path:
    file = folder / "config.yaml"
    file.write_text(TEXT)
    if page is not None:
        (folder / "sorry.html").write_bytes(page)
    return file


def test_a_page_is_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    config = load_file(written(tmp_path, "<h1>Später</h1>".encode()), {}).config
    assert config.listeners[0].http.error_pages == ((503, "<h1>Später</h1>"),)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (None, "'sorry.html' can't be used: No such file or directory"),
        (b"\xff", "'sorry.html' can't be used: it is not UTF-8 text"),
        (b"x" * 300_000, "'sorry.html' can't be used: it is larger than 256 KB"),
    ],
    ids=["missing", "not text", "large"],
)
def test_a_page_that_cannot_be_used_is_an_error(tmp_path: Path, page: bytes | None, message: str) -> None:
    file = written(tmp_path, page)
    with pytest.raises(ConfigError) as caught:
        load_file(file, {})
    assert str(caught.value) == f"{file}:3:27: http.error_pages.503: {message}"


def test_a_listeners_own_pages_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("listeners: [{listen: ':1', http: {error_pages: {502: no.html}}}]\nbackends: [{address: a:1}]\n")
    with pytest.raises(ConfigError, match=r"listeners\[0\]\.http\.error_pages\.502: 'no\.html' can't be used"):
        load_file(file, {})
