"""Looks at the files of TLS once a second, and at the dates of certificates: a changed file is ordered to be served.

A renewal by rename, and by a symlink to another folder (Kubernetes' `..data`), changes the inode behind the path. A change is
told once it was the same in two looks, as a writer may be at work on the pair; one that can't be used is told of once, by the
reload. What can't be read here, as this process may have no right to keys, is judged by what stat() tells.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from time import time

from balance.config.checking.tls.tls_dates import ended_list, expiry_warning
from balance.config.model import Config
from balance.process.control.polling import Polling
from balance.tls.distinguished_name import name_text
from balance.tls.pem_loading import TlsError, infos
from balance.tls.revocation_lists import revocation_lists
from balance.tls.settings import PemFile, ServerTls

log = logging.getLogger("balance.control")

DATES_INTERVAL_S = 3600.0
Stamp = tuple[str, int, int, int, int]


class CertificateWatch:
    """`config` returns what is served; `on_change` is called on the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        config: Callable[[], Config],
        on_change: Callable[[], object] | None,
    ) -> None:
        """`on_change` None: only dates are looked at, as this process may not see the files."""
        self._loop = loop
        self._config = config
        self._on_change = on_change
        self._stamps: dict[str, Stamp] = {}  # as seen by the last look
        self._judged: dict[str, Stamp] = {}  # as compared last with what is served
        self._warned: dict[tuple[str, float], int] = {}  # days, by file and date
        self._dates_due = 0.0

    def start(self) -> None:
        """Look from now on, while there are such files."""
        assert self._loop is not None
        on_change = self._on_change or _nothing
        Polling(self._loop, "certificate-watch", self._look, on_change, is_needed=self._has_files).start()

    def _has_files(self) -> bool:
        return any(True for _ in self._files())

    def _look(self) -> bool:
        now = time()
        if now >= self._dates_due:
            self._dates_due = now + DATES_INTERVAL_S
            for message in self.expiring(now):
                log.warning("%s", message)
        return self._on_change is not None and self.has_changed()

    def _files(self) -> Iterator[PemFile]:
        admin = self._config().admin.tls
        if admin.enabled:
            yield from (admin.cert_file, admin.key_file)
            yield from (pem for pem in (admin.client_ca_file, admin.client_crl_file) if pem.file)
        for listener in self._config().listeners:
            if listener.tls.enabled:
                for certificate in listener.tls.certificates:
                    yield certificate.cert_file
                    yield certificate.key_file
                for pem in (listener.tls.client_ca_file, listener.tls.client_crl_file):
                    if pem.file:
                        yield pem
        for tls in {pool.tls for pool in self._config().pools}:
            yield from (pem for pem in (tls.ca_file, tls.client_cert_file, tls.client_key_file) if pem.file)

    def has_changed(self) -> bool:
        """Look at every file once. Whether one has changed since it was read, and has stayed so since the last look."""
        is_changed = False
        for path, text in {pem.file: pem.text for pem in self._files()}.items():
            try:
                real = os.path.realpath(path)
                status = os.stat(real)
            except OSError:
                continue  # in the middle of being replaced, or gone: what is served stays
            stamp = (real, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
            before, self._stamps[path] = self._stamps.get(path), stamp
            known = self._judged.get(path)
            if stamp != before or stamp == known:
                continue
            self._judged[path] = stamp
            try:
                with open(real, "rb") as file:
                    is_changed |= file.read() != text
            except OSError:
                is_changed |= known is not None
        return is_changed

    def expiring(self, now: float) -> Iterator[str]:
        """A warning for each certificate that has come nearer to its end than the last one said: at 30 and 7 days, and 0."""
        for owner, file, by in self._dated():
            try:
                not_after = infos(file)[0].not_after
            except TlsError:
                continue
            warning = expiry_warning(file.file, not_after, now, by)
            key = (file.file, not_after)
            if warning is not None and warning.days < self._warned.get(key, 1000):
                self._warned[key] = warning.days
                yield f"{owner}: {warning.message}"
        for where, tls in self._served():
            yield from self._ended_lists(where, tls, now)

    def _served(self) -> list[tuple[str, ServerTls]]:
        """Whose TLS towards clients it is."""
        config = self._config()
        return [*((f"listener {each.name}", each.tls) for each in config.listeners), ("admin", config.admin.tls.policy)]

    def _dated(self) -> Iterator[tuple[str, PemFile, str]]:
        """Whose each certificate is, its file, and who refuses it once it has ended."""
        for where, tls in self._served():
            for certificate in tls.certificates if tls.enabled else ():
                yield where, certificate.cert_file, "clients refuse it"
        for pool in self._config().pools:
            if pool.tls.client_cert_file.file:
                yield f"pool {pool.name}", pool.tls.client_cert_file, "backends refuse it"

    def _ended_lists(self, where: str, tls: ServerTls, now: float) -> Iterator[str]:
        """A warning for each revocation list that has ended, once."""
        crl = tls.client_crl_file
        if not (crl.file and tls.enabled and tls.verifies_clients):
            return
        for each in revocation_lists(crl):
            key = (f"{crl.file}:{each.issuer.hex()}", each.next_update)
            if 0 < each.next_update <= now and key not in self._warned:
                self._warned[key] = 0
                yield f"{where}: {ended_list(crl.file, name_text(each.issuer), each.next_update)}"


def _nothing() -> None:
    """Nobody is told: only dates are looked at."""
