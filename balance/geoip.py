"""Databases of the countries of addresses, in MaxMind's format.

A file is read into memory whole: one that is mapped and then overwritten in place, as by `wget -O`, would end the process with
SIGBUS or give nonsense. Data that was read stays until a changed file opens and verifies. The library is imported by the first
database: a process without one never loads it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from typing import Any, Final

from balance.errors import StartError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Stamp = tuple[int, int, int]

_SAMPLES: Final = (ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("2001:4860:4860::8888"))
_HINT: Final = "pip install 'balance[geo]'"


class GeoDatabaseError(StartError):
    """The file is no database that can be used; the message is part of a line."""


class GeoDatabase:
    """One file. `version` counts the times that it was read."""

    __slots__ = ("_reader", "_stamp", "path", "version")

    def __init__(self, path: str) -> None:
        """GeoDatabaseError when it can't be read."""
        self.path = path
        self.version = 0
        self._reader: Any = None
        self._stamp: Stamp = (0, 0, 0)
        self.refresh()

    def refresh(self) -> bool:
        """Read the file if it has changed, and say whether it was. GeoDatabaseError when it is not good: the old data stays."""
        try:
            stamp = _stamp(self.path)
        except OSError as error:
            raise GeoDatabaseError(f"can't be read: {error.strerror or error}") from None
        if stamp == self._stamp:
            return False
        reader = _read(self.path, stamp)
        self._reader, self._stamp = reader, stamp
        self.version += 1
        return True

    def find(self, address: Address) -> tuple[str, str]:
        """The codes of the country and the continent, each "" where it is not known."""
        try:
            return _codes(self._reader, address)
        except Exception:  # the library's, for a part of the file that is damaged: nobody knows where the client is
            return "", ""


_open: dict[str, GeoDatabase] = {}


def geo_database(path: str) -> GeoDatabase:
    """The process's database of this path, up to date if the file is good. GeoDatabaseError when no good one was ever there."""
    known = _open.get(path)
    if known is None:
        try:
            known = _open[path] = GeoDatabase(path)
        except GeoDatabaseError as error:  # it could be read a moment ago, maybe by another user
            raise GeoDatabaseError(f"policy.regions.geoip_db: {path} {error}") from None
    else:
        with contextlib.suppress(GeoDatabaseError):
            known.refresh()
    return known


def file_stamp(path: str) -> tuple[int, ...]:
    """What tells the file of this path from another one; () where there is none."""
    try:
        return _stamp(path)
    except OSError:
        return ()


def _stamp(path: str) -> Stamp:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: str, stamp: Stamp) -> Any:
    try:
        import maxminddb
    except ImportError:
        raise GeoDatabaseError(f"needs a library to be read: {_HINT}") from None
    try:
        reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        metadata = reader.metadata()
        if metadata.node_count * metadata.record_size // 4 > stamp[1]:
            raise GeoDatabaseError("is cut off")
        for sample in _SAMPLES:
            _codes(reader, sample)
    except OSError as error:
        raise GeoDatabaseError(f"can't be read: {error.strerror or error}") from None
    except GeoDatabaseError:
        raise
    except Exception as error:  # of the library: InvalidDatabaseError, and whatever nonsense in the file leads to
        raise GeoDatabaseError(f"is no MaxMind database: {str(error)[:200]}") from None
    if _stamp(path) != stamp:
        raise GeoDatabaseError("was changed while it was read")
    return reader


def _codes(reader: Any, address: Address) -> tuple[str, str]:
    """MaxMind's records have {country: {iso_code}, continent: {code}}; others have country_code and continent_code."""
    try:
        record = reader.get(address)
    except ValueError:  # an IPv6 address, and the database has IPv4 only
        return "", ""
    if not isinstance(record, dict):
        return "", ""
    country = _code(record, "country", "iso_code") or _code(record, "registered_country", "iso_code")
    return country, _code(record, "continent", "code")


def _code(record: dict[str, Any], name: str, key: str) -> str:
    value = record.get(name)
    if isinstance(value, dict):
        value = value.get(key)
    if value is None:
        value = record.get(f"{name}_code")
    return value if isinstance(value, str) and len(value) <= 100 else ""
