"""Errors and warnings of TLS to backends: files that OpenSSL does not take, names that nobody has, checks that are off."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import KeyPaths
from balance.config.checking.tls.tls_dates import date, expiry_warning
from balance.config.model import BackendConfig, Config, PoolConfig
from balance.config.reading.document import Path
from balance.discovery.settings import DnsDiscovery, KubernetesDiscovery
from balance.tls.backend_context import backend_context, has_system_store
from balance.tls.pem_loading import TlsError, infos
from balance.tls.settings import BackendTls

Finding = tuple[Path, str]


def backend_tls_errors(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """What keeps an instance from starting."""
    for index, pool in enumerate(config.pools):
        tls = pool.tls
        for number, backend in enumerate(pool.backends):
            yield from _address_errors(tls, backend, _backend_path(index, number, paths))
        if not _is_used(pool):
            continue
        yield from _file_errors(tls, index, paths)
        if tls.verify and not tls.server_name:
            for number, backend in enumerate(pool.backends):
                if tls.is_for(backend.scheme) and backend.address.is_unix:
                    message = "is a Unix socket, whose certificate could be for no host name; write tls.server_name in the pool"
                    yield _backend_path(index, number, paths), message


def _address_errors(tls: BackendTls, backend: BackendConfig, where: Path) -> Iterator[Finding]:
    if tls.enabled and backend.scheme == "http":
        yield where, f"http:// is without TLS, and tls of its pool is enabled; write https:// or {str(backend.address)!r}"


def _file_errors(tls: BackendTls, index: int, paths: KeyPaths) -> Iterator[Finding]:
    names = ("client_cert_file", "client_key_file")
    for name, other in (names, names[::-1]):
        if getattr(tls, other).file and not getattr(tls, name).file:
            yield _path(index, other, paths), f"stands alone; our own certificate needs {' and '.join(names)}"
            return
    if tls.client_key_password_env and not tls.client_key_file.file:
        yield _path(index, "client_key_password_env", paths), "is the password of no key; write client_key_file, too"
    for name in ("ca_file", *names):
        pem = getattr(tls, name)
        if pem.file and not pem.text:
            yield _path(index, name, paths), f"{pem.file!r} is empty or can't be read"
            return
    try:
        if tls.ca_file.file:
            infos(tls.ca_file, "ca_file")
        if tls.client is not None:
            infos(tls.client_cert_file, "client_cert_file")
        backend_context(tls)
    except TlsError as error:
        yield _path(index, error.key, paths), str(error)


def backend_tls_warnings(config: Config, paths: KeyPaths, now: float) -> Iterator[Finding]:
    """What works and will be regretted. `now` is seconds since the epoch."""
    for index, pool in enumerate(config.pools):
        tls = pool.tls
        if not _is_used(pool):
            own = (*paths.pools[index], "tls")
            if paths.pools[index] and paths.document.has(own) and set(paths.document.at(own)) - {"enabled"}:
                yield own, "has no effect: it is not enabled, and no backend's address has https://"
            continue
        if not tls.verify:
            unused = "; ca_file is not looked at" if tls.ca_file.file else ""
            yield (
                _path(index, "verify", paths),
                f"is false: pool {pool.name!r} talks to whoever answers, and anybody on the way can read and change it{unused}",
            )
        elif not tls.ca_file.file and not has_system_store():
            yield (
                _path(index, "ca_file", paths),
                "is not set, and the system trusts nobody: no backend is accepted",
            )
        if tls.verify and not tls.server_name and (kind := _finds_addresses(pool)):
            yield _path(index, "server_name", paths), f"is not set, and {kind} finds addresses, which few certificates are for"
        for authority in infos(tls.ca_file, "ca_file") if tls.verify and tls.ca_file.file else ():
            if authority.not_after <= now:
                name = authority.common_name or "a certificate"
                yield _path(index, "ca_file", paths), f"{name!r} in it has expired on {date(authority.not_after)}"
        if tls.client is not None:
            leaf, file = infos(tls.client_cert_file)[0], tls.client_cert_file.file
            expiry = expiry_warning(file, leaf.not_after, now, "backends refuse it")
            if expiry is not None:
                yield _path(index, "client_cert_file", paths), expiry.message
            if leaf.not_before > now:
                message = f"{file!r} is not valid before {date(leaf.not_before)}: backends refuse it"
                yield _path(index, "client_cert_file", paths), message


def _is_used(pool: PoolConfig) -> bool:
    is_for_discovered = pool.discovery is not None and pool.tls.is_for("")
    return is_for_discovered or any(pool.tls.is_for(backend.scheme) for backend in pool.backends) or _asks_over_tls(pool)


def _finds_addresses(pool: PoolConfig) -> str:
    """The kind of its source, where that finds no names to verify."""
    found = pool.discovery
    return found.kind if found is not None and isinstance(found.source, (DnsDiscovery, KubernetesDiscovery)) else ""


def _asks_over_tls(pool: PoolConfig) -> bool:
    return pool.health_check.enabled and pool.health_check.kind == "https"


def _paths(index: int, name: str, paths: KeyPaths) -> tuple[Path, Path]:
    """Where a key may stand: in the pool and at the top."""
    return (*paths.pools[index], "tls", name), ("tls", "backend", name)


def _path(index: int, name: str, paths: KeyPaths) -> Path:
    """Where a key stands."""
    own, top = _paths(index, name, paths) if paths.pools[index] else (("tls", "backend", name),) * 2
    return own if paths.document.has(own) or not paths.document.has(top) else top


def _backend_path(index: int, number: int, paths: KeyPaths) -> Path:
    return (*paths.pools[index], "backends", number, "address")
