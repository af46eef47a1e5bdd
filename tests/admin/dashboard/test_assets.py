"""The files of the page: those of the package, from wherever it is installed."""

from __future__ import annotations

import zipfile
from pathlib import Path

from balance.admin.dashboard.assets import TYPES, Assets


def test_files_are_found_in_an_archive_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("assets/index.html", "<title>Balance</title>")
        archive.writestr("assets/vendor/deep/chart.js", "'use strict'")
    assets = Assets(zipfile.Path(tmp_path / "a.zip", "assets/"))
    page = assets.find("index.html")
    assert page is not None and page.data == b"<title>Balance</title>"
    script = assets.find("vendor/deep/chart.js")
    assert script is not None and script.media_type == TYPES["js"] and script.etag != page.etag


def test_nothing_is_written_and_what_changes_on_disk_is_seen_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("one")
    tmp_path.chmod(0o555)
    assets = Assets(tmp_path)
    first = assets.find("index.html")
    tmp_path.chmod(0o755)
    (tmp_path / "index.html").write_text("two")
    assert assets.find("index.html") is first
    assert Assets(tmp_path).find("index.html") != first


def test_a_package_without_its_files_has_none(tmp_path: Path) -> None:
    assert Assets(tmp_path / "nowhere").find("index.html") is None
