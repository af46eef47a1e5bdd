"""What compression, buffering and authorizers count: from the stage to the scrape, and only where they are configured."""

from __future__ import annotations

import pytest
from test_metrics_keys import Served

from balance.config.model import HttpConfig
from balance.config.route_model import Compression
from balance.model import Counted
from balance.proxy.buffer_budget import BufferBudget
from balance.runtime import counters
from balance.runtime.snapshot import _count_of_stage
from balance.stages.compression import CompressionStage
from balance.stages.environment import StageEnvironment

ROUTED = """\
pools:
  app: {backends: [{name: a, address: "127.0.0.1:1"}]}
  auth: {backends: [{name: z, address: "127.0.0.1:2"}]}
listeners:
- name: web
  mode: http
  listen: "127.0.0.1:80"
  pool: app
  http: {routes: [{name: r, pool: app, %s}]}
"""
NAMES = {
    "compression: {enabled: true}": {"compressed_responses_total", "compression_bytes_total", "compression_skipped_total"},
    "buffering: {request: 1KB}": {
        "buffered_requests_total", "buffered_request_bytes_total", "buffer_overflows_total", "buffer_held_bytes",
    },
    "security: {forward_auth: {enabled: true, pool: auth}}": {"forward_auth_asked_total", "forward_auth_answers_total"},
}  # fmt: skip


@pytest.mark.parametrize("section", NAMES)
def test_what_is_configured_is_at_nothing_from_the_start_and_nothing_else_is_there(section: str) -> None:
    plain = set(Served().scrape())
    samples = Served(file=ROUTED % section).scrape()
    assert set(samples) - plain == {f"balance_{name}" for name in NAMES[section]}
    assert all(value == 0 for name in NAMES[section] for value in samples[f"balance_{name}"].values())


def test_counts_of_stages_are_in_the_cells_that_are_shown() -> None:
    served = Served(file=ROUTED % "compression: {enabled: true}, security: {forward_auth: {enabled: true, pool: auth}}")
    for number, what in enumerate(Counted, 1):
        _count_of_stage(served.board.rows[number % 2], what, number)
    samples = served.scrape()
    assert samples["balance_compressed_responses_total"] == {(): 1}
    assert samples["balance_compression_bytes_total"] == {("in",): 2, ("out",): 3}
    assert samples["balance_compression_skipped_total"] == {(): 4}
    assert samples["balance_forward_auth_asked_total"] == {(): 5}
    assert samples["balance_forward_auth_answers_total"] == {("allowed",): 6, ("denied",): 7, ("failed",): 8}


def test_bodies_that_are_read_first_are_counted() -> None:
    served = Served(file=ROUTED % "buffering: {request: 1KB}")
    budget = BufferBudget(served.board.rows[0])
    budget.count_request(700, is_whole=True)
    budget.count_request(200, is_whole=True)
    budget.count_request(1500, is_whole=False)
    served.board.rows[1][counters.BUFFER_HELD] = 31
    samples = served.scrape()
    assert [samples[f"balance_{name}"][()] for name in sorted(NAMES["buffering: {request: 1KB}"])] == [31, 1, 900, 2]


def test_environments_count_for_who_asks() -> None:
    found: list[tuple[Counted, int]] = []
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0, count=lambda *each: found.append(each))
    stage = CompressionStage(Compression(enabled=True), count=environment.count)
    encoder = next(iter(stage._makers.values())).make()
    assert encoder is not None
    out = encoder.encode(b"a" * 1000) + encoder.flush() + encoder.finish()
    encoder.close()
    assert found == [(Counted.COMPRESSED, 1), (Counted.COMPRESSION_IN, 1000), (Counted.COMPRESSION_OUT, len(out))]
    assert encoder.encode(b"more") + encoder.flush() + encoder.finish() == b""
