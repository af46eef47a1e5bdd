"""A database of countries: read whole, and kept until a good one takes its place."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from balance import geoip
from balance.geoip import GeoDatabase, GeoDatabaseError, file_stamp, geo_database

SOMEWHERE = {"country": {"iso_code": "DE"}, "continent": {"code": "EU"}}
REGISTERED = {"registered_country": {"iso_code": "US"}, "continent": {"code": "NA"}}
FLAT = {"country_code": "JP", "continent_code": "AS"}


def write(path: Path, records: dict[str, object]) -> None:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-Country")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path) + ".new")
    os.replace(str(path) + ".new", path)


def find(database: GeoDatabase, address: str) -> tuple[str, str]:
    return database.find(ipaddress.ip_address(address))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "countries.mmdb"
    write(path, {"192.0.2.0/24": SOMEWHERE, "198.51.100.0/24": REGISTERED, "203.0.113.0/24": FLAT, "10.0.0.0/8": "text"})
    return path


def test_countries_and_continents_are_found_in_the_usual_forms(path: Path) -> None:
    database = GeoDatabase(str(path))
    assert find(database, "192.0.2.1") == ("DE", "EU")
    assert find(database, "198.51.100.1") == ("US", "NA")
    assert find(database, "203.0.113.1") == ("JP", "AS")
    assert find(database, "10.0.0.1") == find(database, "8.8.8.8") == find(database, "2001:db8::1") == ("", "")


def test_a_new_file_is_taken_in_and_an_unchanged_one_is_not_read_again(path: Path) -> None:
    database = GeoDatabase(str(path))
    assert not database.refresh()
    write(path, {"192.0.2.0/24": FLAT})
    assert database.refresh()
    assert find(database, "192.0.2.1") == ("JP", "AS")
    assert database.version == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-300]),  # in place, as wget -O does
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\0" * 4000),
        lambda path: path.write_bytes(path.read_bytes()[2000:]),
        lambda path: path.unlink(),
    ],
)
def test_old_data_stay_until_a_good_file_is_there(path: Path, spoil: object) -> None:
    good = path.read_bytes()
    database = GeoDatabase(str(path))
    spoil(path)  # type: ignore[operator]
    with pytest.raises(GeoDatabaseError):
        database.refresh()
    assert find(database, "192.0.2.1") == ("DE", "EU")
    assert database.version == 1
    path.write_bytes(good)
    assert database.refresh()


def test_a_file_in_its_place_has_another_stamp(path: Path, tmp_path: Path) -> None:
    stamp = file_stamp(str(path))
    assert stamp == file_stamp(str(path))
    write(path, {"192.0.2.0/24": FLAT})
    assert file_stamp(str(path)) != stamp != file_stamp(str(tmp_path / "none.mmdb")) == ()


def test_a_file_that_is_truncated_while_it_is_in_use_does_no_harm(path: Path) -> None:
    database = GeoDatabase(str(path))
    os.truncate(path, 0)  # ends a process that has it mapped with SIGBUS
    assert find(database, "192.0.2.1") == ("DE", "EU")


@pytest.mark.parametrize("content", [None, b"", b"not a database"])
def test_without_a_good_file_at_first_the_error_says_what_is_wrong(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.mmdb"
    if content is not None:
        path.write_bytes(content)
    expected = "can't be read: No such file" if content is None else "is no MaxMind database"
    with pytest.raises(GeoDatabaseError, match=expected):
        GeoDatabase(str(path))


def test_a_process_has_one_of_each_file_and_asks_for_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geoip, "_open", {})
    database = geo_database(str(path))
    write(path, {"192.0.2.0/24": FLAT})
    assert geo_database(str(path)) is database
    assert find(database, "192.0.2.1") == ("JP", "AS")
    path.write_bytes(b"broken")
    assert geo_database(str(path)) is database
    assert find(database, "192.0.2.1") == ("JP", "AS")


def test_nobody_without_a_database_pays_for_it() -> None:
    code = "import sys, balance.runtime.snapshot; raise SystemExit('maxminddb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=50).returncode == 0
