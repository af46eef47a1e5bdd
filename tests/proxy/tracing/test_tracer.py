"""The tracer of a worker, and what a reload makes of it."""

import subprocess
import sys
from dataclasses import replace

import pytest
from otlp_receiver import HttpReceiver, attributes
from rawclient import get, ok
from stage import Stage, serve

from balance.config.model import TracingConfig
from balance.runtime import counters


async def ask(stage: Stage) -> None:
    client = await stage.client()
    await client.send(get())
    await client.reply()


async def test_a_reload_changes_tracing_for_the_next_request_and_loses_no_span(stage: Stage) -> None:
    first, second = HttpReceiver(), HttpReceiver()
    stage.backend(serve(ok()))
    await stage.open(tracing=TracingConfig(enabled=True, endpoint=first.endpoint))
    tracer = stage.worker.tracer
    assert tracer is not None
    kept = await stage.client()
    await kept.send(get())
    await kept.reply()

    await stage.reload(replace(stage.snapshot.config, drain_s=7.0))
    assert stage.worker.tracer is tracer  # nothing of it was changed

    changed = TracingConfig(enabled=True, endpoint=second.endpoint, service_name="other")
    await stage.reload(replace(stage.snapshot.config, tracing=changed))
    await kept.send(get("/after"))
    await kept.reply()
    assert stage.worker.tracer is not None and stage.worker.tracer is not tracer
    await stage.worker.tracer.exporter.close(5.0)
    await tracer.exporter.close(5.0)
    assert [attributes(span)["url.path"] for span in first.servers] == ["/"]
    assert [attributes(span)["url.path"] for span in second.servers] == ["/after"]
    resource = second.requests[0].resource_spans[0].resource
    assert attributes(resource)["service.name"] == "other"

    await stage.reload(replace(stage.snapshot.config, tracing=TracingConfig()))
    assert stage.worker.tracer is None
    await kept.send(get("/untraced"))
    await kept.reply()
    assert len(first.spans) + len(second.spans) == 4
    for receiver in (first, second):
        receiver.close()


async def test_what_became_of_spans_is_counted(stage: Stage) -> None:
    receiver = HttpReceiver()
    stage.backend(serve(ok()))
    await stage.open(tracing=TracingConfig(enabled=True, endpoint=receiver.endpoint))
    await ask(stage)
    await stage.listener_server._tracing.close()
    await ask(stage)
    stage.listener_server._tracing.count()
    assert (stage.cell(counters.SPANS_EXPORTED), stage.cell(counters.SPANS_DROPPED)) == (2, 2)
    receiver.close()


async def test_the_receiver_gets_the_fields_that_let_us_in(stage: Stage) -> None:
    receiver = HttpReceiver()
    stage.backend(serve(ok()))
    headers = (("Authorization", "Bearer x"), ("X-Tenant", "t"))
    await stage.open(tracing=TracingConfig(enabled=True, endpoint=receiver.endpoint, headers=headers))
    await ask(stage)
    await stage.listener_server._tracing.close()
    ((_, fields),) = receiver.heads
    assert (fields["authorization"], fields["x-tenant"]) == ("Bearer x", "t")
    receiver.close()


@pytest.mark.long
def test_the_library_of_grpc_is_there_before_the_first_export_and_nowhere_else() -> None:
    asks = (
        "import sys; from balance.config.model import TracingConfig as T; from balance.proxy.tracing.tracer import load_library"
    )
    for endpoint, enabled, is_there in (("grpc://c", True, True), ("grpc://c", False, False), ("http://c", True, False)):
        code = f"{asks}; load_library(T(enabled={enabled}, endpoint='{endpoint}')); print('h2.connection' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == str(is_there)


async def test_nobody_is_trusted_unless_named(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(tracing=TracingConfig(enabled=True))
    assert stage.worker.tracer is not None and not stage.worker.tracer.trusted
