"""Compression, buffering and authorizers, where a route or listener has them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import routes as table
from balance.admin.metrics.family import by_word, single
from balance.admin.metrics.scrape import Scrape
from balance.model import Counted
from balance.runtime import counters


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    cell = scrape.totals.cell

    def of_stage(what: Counted) -> int:
        return cell(counters.STAGE_COUNTS + what)

    https = [listener.http for listener in scrape.view.config.listeners]
    routes = [route for http in https for route in http.routes]
    if any(each.enabled for each in [*(http.compression for http in https), *(route.compression for route in routes)]):
        yield single(table.COMPRESSED, of_stage(Counted.COMPRESSED))
        sizes = [("in", of_stage(Counted.COMPRESSION_IN)), ("out", of_stage(Counted.COMPRESSION_OUT))]
        yield by_word(table.COMPRESSION_BYTES, sizes)
        yield single(table.COMPRESSION_SKIPPED, of_stage(Counted.COMPRESSION_SKIPPED))
    buffering = [*(http.buffering for http in https), *(route.buffering for route in routes)]
    if any(each.request_bytes or each.response_bytes for each in buffering):
        yield single(table.BUFFERED, cell(counters.BUFFERED))
        yield single(table.BUFFERED_BYTES, cell(counters.BUFFERED_BYTES))
        yield single(table.OVERFLOWS, cell(counters.BUFFER_OVERFLOWS))
        yield single(table.BUFFER_HELD, cell(counters.BUFFER_HELD))
    if any(route.security.forward_auth.enabled for route in routes):
        yield single(table.AUTH_ASKED, of_stage(Counted.AUTH_ASKED))
        answers = (("allowed", Counted.AUTH_ALLOWED), ("denied", Counted.AUTH_DENIED), ("failed", Counted.AUTH_FAILED))
        yield by_word(table.AUTH_ANSWERS, [(word, of_stage(what)) for word, what in answers])
