"""Deprecated keys have the effect of the keys that replace them."""

import pytest

from balance.config import load_text
from balance.errors import ConfigError

WORKING = 'mode: http\nlisten: ":8080"\nbackends:\n  - address: 127.0.0.1:9001\n'
FULL = 'listeners: [{listen: ":8080"}]\npools:\n  p:\n    backends: [{address: "127.0.0.1:9001"}]\n    '


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (WORKING + "health_check: {http_path: /x}", WORKING + "health_check: {path: /x}"),
        (WORKING + "health_check: {http_method: HEAD}", WORKING + "health_check: {method: HEAD}"),
        (WORKING + "health_check: {http_expected_status: 204}", WORKING + "health_check: {expected_status: 204}"),
        (FULL + "health_check: {http_path: /x}", FULL + "health_check: {path: /x}"),
        (
            WORKING + "security: {connection_protection: {max_request_size: 10MB, max_header_size: 16KB}}",
            WORKING + "http: {limits: {body: 10MB, head: 16KB}}",
        ),
        (
            WORKING
            + "resilience: {circuit_breaker: {enabled: true, max_failures: 3, max_concurrent_requests: 2, timeout: 9s}}",
            WORKING + "circuit_breaker: {enabled: true, failure_threshold: 3, half_open_requests: 2, timeout: 9s}",
        ),
        (
            WORKING
            + "resilience: {retry: {enabled: true, initial_delay: 50ms, max_delay: 1s, jitter: 0.1, budget: {ratio: 0.5}}}",
            WORKING + "retry: {enabled: true, backoff_base: 50ms, backoff_max: 1s, jitter: 0.1, budget: {ratio: 0.5}}",
        ),
        (
            WORKING + "security: {max_request_size: 10MB}\nhttp: {via: true}",
            WORKING + "http: {limits: {body: 10MB}, via: true}",
        ),
    ],
)
def test_an_older_name_is_the_same_key(older: str, newer: str) -> None:
    assert load_text(older, "f.yaml", {}).config == load_text(newer, "f.yaml", {}).config


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (
            "health_check: {http_path: /x, path: /y}",
            "f.yaml:5:16: health_check.http_path: is another name of health_check.path, which is given too; keep one",
        ),
        (
            "health_check: {http_path: x}",
            "f.yaml:5:27: health_check.path: 'x' is not a path; it begins with / and has no spaces",
        ),
        (
            "security: {max_header_size: big}",
            "f.yaml:5:29: http.limits.head: 'big' is not a size; write one like 512B, 64KB or 10MB",
        ),
        ("security: {max_header_size: 1KB}\nhttp: 5", "f.yaml:6:7: http: expected keys below it, got 5"),
    ],
)
def test_a_mistake_is_reported_where_it_was_written(added: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(WORKING + added, "f.yaml", {})
    assert message in str(caught.value).splitlines()
