"""The defaults in the schema are those of the model."""

from typing import Any, get_args

import pytest
import yaml

from balance.config import load_text
from balance.config.schema.common_sections import LoadBalancerSection, RetryBudgetSection, RetrySection, TimeoutsSection
from balance.config.schema.redis_section import RedisSection
from balance.config.schema.schema import (
    AccessLogSection,
    AdminSection,
    CircuitBreakerSection,
    HealthCheckSection,
    HttpSection,
    KeepaliveSection,
    LimitsSection,
    LoggingSection,
    MetricsSection,
    PassiveChecksSection,
    QueueSection,
    RootSection,
    SecuritySection,
    SessionAffinitySection,
    SessionCookieSection,
    ShutdownSection,
)
from balance.config.schema.section import Section
from balance.config.schema.transform_sections import BufferingSection, CompressionSection, TransformSection

PLAIN = {"listen": ":8080", "backends": [{"address": "127.0.0.1:9001"}]}


def defaults_of(section: type[Section]) -> dict[str, Any]:
    extras = {name: about.json_schema_extra for name, about in section.model_fields.items()}
    return {name: extra["default"] for name, extra in extras.items() if isinstance(extra, dict) and "default" in extra}


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ((), RootSection),
        (("timeouts",), TimeoutsSection),
        (("health_check",), HealthCheckSection),
        (("health_check", "passive_checks"), PassiveChecksSection),
        (("circuit_breaker",), CircuitBreakerSection),
        (("queue",), QueueSection),
        (("session_affinity",), SessionAffinitySection),
        (("session_affinity", "cookie"), SessionCookieSection),
        (("retry",), RetrySection),
        (("retry", "budget"), RetryBudgetSection),
        (("load_balancer",), LoadBalancerSection),
        (("http",), HttpSection),
        (("http", "keepalive"), KeepaliveSection),
        (("http", "limits"), LimitsSection),
        (("http", "transform"), TransformSection),
        (("http", "compression"), CompressionSection),
        (("http", "buffering"), BufferingSection),
        (("security",), SecuritySection),
        (("admin",), AdminSection),
        (("metrics",), MetricsSection),
        (("logging",), LoggingSection),
        (("logging", "access_log"), AccessLogSection),
        (("shutdown",), ShutdownSection),
        (("redis",), RedisSection),
    ],
)
def test_a_default_written_down_changes_nothing(path: tuple[str, ...], section: type[Section]) -> None:
    defaults: Any = defaults_of(section)
    assert defaults
    if section is HealthCheckSection:
        defaults["type"] = "tcp"  # the default is http when a key of HTTP checks is given
    for step in reversed(path):
        defaults = {step: defaults}
    written = load_text(yaml.safe_dump(PLAIN | defaults), "f.yaml", {})
    assert written.config == load_text(yaml.safe_dump(PLAIN), "f.yaml", {}).config


def sections(section: type[Section], seen: set[type[Section]]) -> set[type[Section]]:
    seen.add(section)
    for about in section.model_fields.values():
        for inner in (about.annotation, *get_args(about.annotation)):
            if isinstance(inner, type) and issubclass(inner, Section) and inner not in seen:
                sections(inner, seen)
    return seen


def test_every_key_says_what_it_does() -> None:
    silent = [
        f"{section.__name__}.{name}"
        for section in sections(RootSection, set())
        for name, about in section.model_fields.items()
        if not (about.description or "").endswith(".")
    ]
    assert silent == []
