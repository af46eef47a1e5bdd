"""The URL of an endpoint: a base gets the path of traces once, one that has it is taken as it is."""

import pytest

from balance.tracing.endpoint import SERVICE, parse_endpoint


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "url"),
    [
        ("http://c:4318", "c", 4318, "/v1/traces", "http://c:4318/v1/traces"),
        ("http://c:4318/", "c", 4318, "/v1/traces", "http://c:4318/v1/traces"),
        ("http://c:4318/v1/traces", "c", 4318, "/v1/traces", "http://c:4318/v1/traces"),
        ("http://c:4318/v1/traces/", "c", 4318, "/v1/traces", "http://c:4318/v1/traces"),
        ("http://c/base/", "c", 80, "/base/v1/traces", "http://c/base/v1/traces"),
        ("https://c/otlp", "c", 443, "/otlp/v1/traces", "https://c/otlp/v1/traces"),
        ("https://c/otlp?key=1", "c", 443, "/otlp/v1/traces?key=1", "https://c/otlp/v1/traces?key=1"),
        ("http://[::1]:4318", "::1", 4318, "/v1/traces", "http://[::1]:4318/v1/traces"),
        (" http://c:4318 ", "c", 4318, "/v1/traces", "http://c:4318/v1/traces"),
        ("grpc://c", "c", 4317, SERVICE, "grpc://c:4317"),
        ("grpc://c:9/", "c", 9, SERVICE, "grpc://c:9"),
        ("grpcs://c", "c", 443, SERVICE, "grpcs://c"),
    ],
)
def test_where_it_leads(text: str, host: str, port: int, path: str, url: str) -> None:
    endpoint = parse_endpoint(text)
    assert (endpoint.host, endpoint.port, endpoint.path, endpoint.url) == (host, port, path, url)
    assert endpoint.is_grpc is text.startswith("grpc") and endpoint.is_secure is (text.partition(":")[0][-1] == "s")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is no URL"),
        ("collector:4318", "it is no URL"),
        ("localhost", "it is no URL"),
        ("ftp://c", "the scheme 'ftp' is not known"),
        ("http://", "no host"),
        ("http://c:0", "port 0"),
        ("http://c:x", "can't be read"),
        ("http://c:99999", "can't be read"),
        ("http://u:p@c", "tracing.headers"),
        ("http://c/#x", "no #"),
        ("http://c/a b", "no spaces"),
        ("http://c/\r\nX: y", "no spaces"),
        ("http://c/é", "no spaces"),
        ("grpc://c/v1/traces", "gRPC has no path"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_endpoint(text)
    assert "u:p" not in str(caught.value)
