"""What may stand in `tracing`, what is wrong there, and that what lets us in is told to nobody."""

import json
from collections.abc import Mapping

import pytest

from balance.config import load_text
from balance.config.checking import tracing_findings
from balance.config.loading import Loaded
from balance.config.model import TracingConfig
from balance.config.overrides.redacted import redacted
from balance.errors import ConfigError

FILE = 'listen: ":8080"\nbackends: [{address: "127.0.0.1:9001"}]\n'


def load(tracing: str) -> TracingConfig:
    return load_text(f"{FILE}tracing: {tracing}\n", "b.yaml").config.tracing


def said(tracing: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tracing)
    return str(caught.value)


def test_it_is_off_and_all_of_it_may_be_set() -> None:
    assert load("{}") == TracingConfig()
    found = load(
        "{enabled: true, service_name: edge, endpoint: 'https://c/otlp', sample_rate: 0.5, propagate: [b3, w3c, b3], "
        "headers: {X-Key: k}, trust: [10.0.0.0/8, unix]}"
    )
    assert (found.enabled, found.service_name, found.endpoint, found.sample_rate) == (True, "edge", "https://c/otlp", 0.5)
    assert (found.propagate, found.headers) == (("b3", "w3c"), (("X-Key", "k"),))
    assert found.trust is not None and len(found.trust) == 2
    assert load("{trust: []}").trust == ()


@pytest.mark.parametrize(
    ("tracing", "message"),
    [
        ("{endpoint: 'collector:4318'}", "b.yaml:3:21: tracing.endpoint: it is no URL; write http://HOST:4318"),
        ("{endpoint: 4318}", "expected http://HOST:4318"),
        ("{endpoint: 'http://u:secret@c'}", "write tracing.headers"),
        ("{propagate: jaeger}", "'jaeger' is not one of w3c, b3, b3multi"),
        ("{propagate: []}", "is empty; write w3c"),
        ("{sample_rate: 2}", "tracing.sample_rate"),
        ("{sample_rate: -0.1}", "tracing.sample_rate"),
        ("{service_name: ''}", "the name of a service"),
        ("{headers: {Host: x}}", "tracing.headers.Host: is ours to say"),
        ("{headers: {'X Y': x}}", "the name of a header field"),
        ("{trust: [everybody]}", "is not an address or network"),
        ("{sampler: always}", "sampler"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(tracing: str, message: str) -> None:
    text = said(tracing)
    assert message in text and "secret" not in text and "Traceback" not in text


def test_grpc_without_its_library_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing_findings, "find_spec", lambda name: None)
    assert "tracing.endpoint: gRPC needs a library: pip install 'balance[otel]'" in said(
        "{enabled: true, endpoint: 'grpc://c'}"
    )
    load("{enabled: true}")  # HTTP needs none


def loaded(text: str, monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str] = {}) -> Loaded:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return load_text(text, "b.yaml")


def test_what_does_nothing_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    tcp = loaded(f"mode: tcp\n{FILE}tracing: {{enabled: true}}\n", monkeypatch)
    assert any("in TCP mode there are no requests" in str(warning) for warning in tcp.warnings)
    env = {"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    named = loaded(f"{FILE}tracing: {{enabled: true, service_name: a}}\n", monkeypatch, env)
    warnings = [str(warning) for warning in named.warnings if "OTEL" in str(warning)]
    assert len(warnings) == 1 and "OTEL_EXPORTER_OTLP_ENDPOINT is set, and not read: write endpoint:" in warnings[0]
    assert not any("OTEL" in str(warning) for warning in loaded(FILE, monkeypatch, env).warnings)


def test_what_lets_us_in_is_shown_to_nobody() -> None:
    config = load_text(f"{FILE}tracing: {{enabled: true, headers: {{X-Team: s3cret}}}}\n", "b.yaml").config
    assert "s3cret" not in json.dumps(redacted(config)) + repr(config)
