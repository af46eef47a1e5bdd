"""In which format metrics are shown."""

from __future__ import annotations

import pytest

from balance.admin.metrics.formats import Format, negotiate

JSON, TEXT, OPENMETRICS = Format.JSON, Format.TEXT, Format.OPENMETRICS
# What Prometheus 2.53 and 3.5 send.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF_FIRST = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("application/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain; version=0.0.4; charset=utf-8", TEXT),
        ("text/plain;version=1.0.0", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROTOBUF_FIRST, TEXT),
        (BROWSER, TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ('Application/OpenMetrics-Text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;q=0,*/*", TEXT),
        ("application/json", JSON),
        ("application/json, */*", JSON),
        ("application/json, text/plain, */*", TEXT),
        ("application/json;q=0.5, text/plain;q=0.4", JSON),
        ("application/json;q=0.4, text/plain;q=0.5", TEXT),
        ("application/json;q=0", TEXT),
        ("application/json;q=2", TEXT),
        ("application/json;q=x, text/plain;q=0.1", TEXT),
        ("application/json;charset=utf-8", JSON),
        ("image/png", TEXT),
        (";;;,=,/,q=1", TEXT),
        ("a/b," * 100_000, TEXT),
        ("a/b," * 70 + "application/json", TEXT),
    ],
)
def test_the_client_gets_what_it_likes_best(accept: str, expected: Format) -> None:
    assert negotiate(accept) is expected


def test_content_types() -> None:
    assert TEXT.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert OPENMETRICS.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert JSON.content_type == "application/json"
