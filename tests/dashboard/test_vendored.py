"""What the dashboard brings of others is what they published, and says so."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[2] / "balance/admin/dashboard/assets/vendor"
NOTICE = (VENDOR / "NOTICE").read_text()


def test_every_vendored_file_has_the_checksum_of_the_notice() -> None:
    told = {name: digest for digest, name in re.findall(r"(?m)^([0-9a-f]{64})  (\S+)$", NOTICE)}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.iterdir() if file.name != "NOTICE"}
    assert found == told


def test_the_notice_names_version_and_licence() -> None:
    assert re.search(r"uPlot \d+\.\d+\.\d+, MIT licence", NOTICE)
    assert "Leon Sorokin" in (VENDOR / "LICENSE").read_text()
