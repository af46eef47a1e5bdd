"""TLS, and the keys of tokens, where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import tls as table
from balance.admin.metrics.family import Family, by_word
from balance.admin.metrics.scrape import Scrape
from balance.model import Why
from balance.runtime import counters
from balance.tls.pem_loading import expires_at
from balance.tls.revocation_lists import ends_at

TLS_WHYS: Final = tuple(why for why in Why if why.word.startswith("tls_"))


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    yield from _handshakes(scrape)
    yield from _keys(scrape)


def _handshakes(scrape: Scrape) -> Iterator[Metric]:
    config, cell = scrape.view.config, scrape.totals.cell
    served = [(each.name, each.tls) for each in config.listeners if each.tls.enabled]
    if config.admin.enabled and config.admin.tls.enabled:
        served.append(("admin", config.admin.tls.policy))
    pools = [pool for pool in config.pools if pool.tls.client_cert_file.file]
    if not served and not pools:
        return
    failures = [(why.word.removeprefix("tls_"), cell(counters.WHY + why)) for why in TLS_WHYS]
    yield by_word(table.HANDSHAKES, [("ok", cell(counters.TLS_HANDSHAKES)), *failures])
    expiry, lists = Family(table.EXPIRY), Family(table.CRL_EXPIRY)
    for name, tls in served:
        for file in {certificate.cert_file.file: certificate.cert_file for certificate in tls.certificates}.values():
            expiry.add((name, file.file), expires_at(file))
        crl = tls.client_crl_file
        if crl.file and tls.verifies_clients and ends_at(crl):
            lists.add((name, crl.file), ends_at(crl))
    for own in dict.fromkeys(pool.tls.client_cert_file for pool in pools):
        expiry.add(("", own.file), expires_at(own))
    yield expiry.metric
    if lists.metric.samples:
        yield lists.metric


def _keys(scrape: Scrape) -> Iterator[Metric]:
    if not scrape.key_states:
        return
    age, up, fetches = Family(table.KEYS_AGE), Family(table.KEYS_UP), Family(table.KEYS_FETCHES)
    by_name = {source.name: state for source, state in scrape.key_states.items()}  # other settings, the same URL: one of them
    for name, state in by_name.items():
        age.add((name,), max(scrape.now - state.fetched_at, 0.0) if state.text else -1.0)
        up.add((name,), bool(state.text) and not state.failure)
        fetches.add((name, "ok"), state.fetches - state.failures)
        fetches.add((name, "failure"), state.failures)
    yield from (age.metric, up.metric, fetches.metric)
