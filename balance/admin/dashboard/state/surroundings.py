"""What the instance depends on besides backends: certificates, Redis and keys of tokens; and which features are in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from balance.admin.dashboard.state.moment import Moment
from balance.admin.metrics.shared_limits import shared_limits
from balance.admin.sessions import store
from balance.config.model import Config
from balance.model import Mode
from balance.tls.pem_loading import TlsError, infos
from balance.tls.settings import PemFile

Section = dict[str, Any]
SOON_DAYS = 30
DAY_S = 86400


class Certificates:
    """Their dates, read once for each configuration."""

    def __init__(self) -> None:
        self._config: Config | None = None
        self._found: dict[str, Section] = {}

    def section(self, moment: Moment) -> Section:
        """By whose and which file."""
        config = moment.view.config
        if config is not self._config:
            self._config = config
            self._found = {}
            for owner, file in _files(config):
                try:
                    info = infos(file)[0]
                except (TlsError, IndexError):
                    continue
                self._found[f"{owner} {file.file}"] = {"owner": owner, "file": file.file, "ends_at": info.not_after}
        found = {}
        for name, fixed in self._found.items():
            days = int((fixed["ends_at"] - moment.now) // DAY_S)
            found[name] = fixed | {"days_left": days, "state": "ended" if days < 0 else "soon" if days < SOON_DAYS else "ok"}
        return found


def _files(config: Config) -> Iterator[tuple[str, PemFile]]:
    for listener in config.listeners:
        for certificate in listener.tls.certificates if listener.tls.enabled else ():
            yield f"listener {listener.name}", certificate.cert_file
    if config.admin.enabled and config.admin.tls.enabled:
        yield "admin", config.admin.tls.cert_file
    for pool in config.pools:
        if pool.tls.client_cert_file.file:
            yield f"pool {pool.name}", pool.tls.client_cert_file


def redis(moment: Moment) -> Section:
    """How the stores stand; empty where none is used."""
    found = {}
    for name, document in (("sessions", store(moment.view)), ("rate_limits", shared_limits(moment.view))):
        if document is not None:
            found[name] = {
                "state": document["state"],
                "url": document["url"],
                "on_failure": document["on_failure"],
                "errors_total": document["errors"],
            }
            if document["reason"]:
                found[name]["reason"] = document["reason"]
    return found


def keys(moment: Moment) -> Section:
    """Keys of tokens by their URL."""
    found = {}
    for source, state in moment.view.key_states().items():
        section: Section = {"fetches_total": state.fetches, "failures_total": state.failures}
        if state.text:
            section["fetched_at"] = round(state.fetched_at)
        if state.failure:
            section["failure"] = state.failure
        found[source.name] = section
    return found


def features(config: Config) -> Section:
    """What is in use."""
    http = [listener for listener in config.listeners if listener.mode is Mode.HTTP]
    routes = [route for listener in http for route in listener.http.routes]
    policies = [route.policy for route in routes]
    return {
        "http": bool(http),
        "tcp": any(listener.mode is Mode.TCP for listener in config.listeners),
        "tls": any(listener.tls.enabled for listener in config.listeners),
        "tls_to_backends": any(pool.tls.client is not None for pool in config.pools),
        "routes": bool(routes),
        "health_checks": any(pool.health_check.enabled for pool in config.pools),
        "outlier_detection": any(pool.health_check.passive.enabled for pool in config.pools),
        "circuit_breakers": any(pool.breaker.enabled for pool in config.pools),
        "retries": any(pool.retry.enabled for pool in config.pools),
        "sessions": any(pool.affinity.enabled for pool in config.pools),
        "rate_limits": any(
            limit.enabled for limit in [*(each.rate_limit for each in http), *(each.rate_limit for each in routes)]
        ),
        "canary": any(policy.canary is not None for policy in policies),
        "blue_green": any(policy.blue_green is not None for policy in policies),
        "mirror": any(policy.mirror is not None for policy in policies),
        "fault_injection": any(policy.fault is not None for policy in policies),
        "redis": bool(config.redis.url),
        "access_log": config.logging.access_log.enabled,
        "metrics": config.metrics.enabled,
        "admin_tokens": bool(config.admin.auth.tokens or config.admin.auth.read_only_tokens),
        "admin_tls": config.admin.tls.enabled,
    }
