"""Changed files of TLS are noticed, however they were changed, and certificates that end are told of once for each limit."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

from pem_files import authority, read, self_signed

from balance.config.model import Config, ListenerConfig
from balance.model import Mode
from balance.process.control.certificate_watch import CertificateWatch
from balance.tls.settings import Certificate, PemFile, ServerTls
from balance.tls.x509 import parse_certificate, pem_blocks

DAY_S = 86400
CA = authority()


class Watched:
    def __init__(self, cert: Path, key: Path) -> None:
        self.config = self._config(cert, key)
        self.watch = CertificateWatch(asyncio.new_event_loop(), lambda: self.config, lambda: None)

    def _config(self, cert: Path, key: Path) -> Config:
        pair = Certificate(PemFile(str(cert), cert.read_bytes()), PemFile(str(key), key.read_bytes()))
        return Config((ListenerConfig("main", (), Mode.HTTP, "p", tls=ServerTls(True, (pair,))),), ())

    @property
    def is_told(self) -> bool:
        """After as many looks as it takes."""
        return any(self.watch.has_changed() for _ in range(3))


def test_a_file_is_told_of_once_when_it_has_changed(tmp_path: Path) -> None:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    old, new = self_signed("a"), self_signed("a", number=1)
    cert.write_bytes(old.cert.read_bytes())
    key.write_bytes(old.key.read_bytes())
    watched = Watched(cert, key)
    assert not watched.is_told
    os.utime(cert)
    assert not watched.is_told  # the same in it
    cert.write_bytes(new.cert.read_bytes())
    assert watched.is_told
    assert not watched.is_told
    other = tmp_path / "other"
    other.write_bytes(new.key.read_bytes())
    other.rename(key)
    assert watched.is_told
    key.unlink()
    assert not watched.is_told  # in the middle of being replaced


def test_a_symlink_that_leads_elsewhere_is_a_change_with_any_times(tmp_path: Path) -> None:
    """As Kubernetes swaps `..data`, twice."""
    for name, pair in (("one", self_signed("a")), ("two", self_signed("a", number=1)), ("three", self_signed("a", number=2))):
        (tmp_path / name).mkdir()
        for file, content in (("tls.crt", pair.cert), ("tls.key", pair.key)):
            (tmp_path / name / file).write_bytes(content.read_bytes())
            os.utime(tmp_path / name / file, (1, 1))
    (tmp_path / "..data").symlink_to("one")
    watched = Watched(tmp_path / "..data" / "tls.crt", tmp_path / "..data" / "tls.key")
    assert not watched.is_told
    for name in ("two", "three"):
        (tmp_path / "..next").symlink_to(name)
        (tmp_path / "..next").rename(tmp_path / "..data")
        assert watched.is_told
        assert not watched.is_told


def test_a_change_that_came_before_the_first_look_is_noticed(tmp_path: Path) -> None:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    cert.write_bytes(self_signed("a").cert.read_bytes())
    key.write_bytes(self_signed("a").key.read_bytes())
    watched = Watched(cert, key)
    cert.write_bytes(self_signed("a", number=1).cert.read_bytes())
    assert watched.is_told


def test_an_end_that_comes_nearer_is_told_of_once_for_each_limit() -> None:
    pair = self_signed("a")
    watched = Watched(pair.cert, pair.key)
    end = parse_certificate(pem_blocks(pair.cert.read_bytes())[0]).not_after

    def told(days: float) -> list[str]:
        return list(watched.watch.expiring(end - days * DAY_S))

    assert [len(told(days)) for days in (40, 29, 28, 6, 5, -1, -2)] == [0, 1, 0, 1, 0, 1, 0]
    watched.config = replace(watched.config, listeners=(replace(watched.config.listeners[0], tls=ServerTls()),))
    assert told(1) == []


def test_a_revocation_list_that_has_ended_is_told_of_once_and_a_newer_one_is_noticed(tmp_path: Path) -> None:
    crl = tmp_path / "clients.crl"
    crl.write_bytes(CA.revoking(hours=1).read_bytes())
    watched = Watched(*self_signed("a"))

    def load() -> None:
        tls = ServerTls(True, watched.config.listeners[0].tls.certificates, client_auth="verify", client_ca_file=read(CA.cert))
        listener = replace(watched.config.listeners[0], tls=replace(tls, client_crl_file=read(crl)))
        watched.config = replace(watched.config, listeners=(listener,))

    load()
    now = time.time()
    assert list(watched.watch.expiring(now)) == []
    (told,) = watched.watch.expiring(now + 2 * 3600)
    assert "listener main: " in told
    assert "the list of 'CN=Test CA' has ended on" in told
    assert list(watched.watch.expiring(now + 3 * 3600)) == []
    assert not watched.is_told
    crl.write_bytes(CA.revoking(1, hours=5).read_bytes())
    assert watched.is_told
    load()
    assert list(watched.watch.expiring(now + 2 * 3600)) == []
