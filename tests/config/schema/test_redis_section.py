"""The URL of Redis: what is taken, and that no message has its password."""

import re

import pytest

from balance.config import load_text
from balance.config.model import RedisConfig
from balance.config.overrides.redacted import redacted
from balance.config.schema.redis_section import REDIS_URL
from balance.errors import ConfigError

FILE = 'listen: ":8080"\nbackends: [{address: "127.0.0.1:9001"}]\nsession_affinity: {enabled: true, mode: redis}\n'


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "redis://user:p%40ss@redis.example:6380/15",
        "redis://:pass@[::1]:6379",
        "rediss://redis.example",
        "rediss://redis.example/0?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=2",
        "unix://:pass@/run/redis.sock",
    ],
)
def test_a_url(url: str) -> None:
    assert REDIS_URL.read(url) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6379", "it is no URL; write redis://"),
        ("http://h", "the scheme 'http' is not known; write redis://"),
        (6379, "expected redis://"),
        ("redis://", "it has no host; write redis://"),
        ("redis://h:0", "port 0 is not in 1..65535"),
        ("redis://h:70000", "its host or port can't be read"),
        ("redis://u:secret/x@h", "its host or port can't be read"),
        ("redis://u:se#cret@h", "its host or port can't be read"),
        ("redis://h/zero", "what follows the host is the number of a database"),
        ("redis://h/0?socket_timeout=3", "the parameter 'socket_timeout' is not known in a redis:// URL"),
        ("rediss://h?db=1", "the parameter 'db' is not known in a rediss:// URL; allowed: ssl_ca_certs"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs is none, optional or required"),
        ("unix://run/redis.sock", "a Unix socket needs an absolute path"),
        ("unix:///run/redis.sock?db=x", "db is the number of a database"),
        ("redis://h h", "a URL has no spaces"),
    ],
)
def test_what_is_no_url_is_said_in_one_line_without_its_password(url: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as caught:
        REDIS_URL.read(url)
    assert "secret" not in str(caught.value)
    assert "se#cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_section_is_read() -> None:
    text = FILE + "redis: {url: 'redis://h/1', prefix: 'x:', timeout: 80ms, on_failure: deny}\n"
    loaded = load_text(text, "f.yaml", {})
    assert loaded.config.redis == RedisConfig("redis://h/1", "x:", 0.08, "deny")
    assert not loaded.warnings


def test_the_password_is_shown_nowhere() -> None:
    config = load_text(FILE + "redis: {url: 'redis://user:secret@h/1'}\n", "f.yaml", {}).config
    assert "secret" not in repr(config)
    shown = redacted(config)
    assert shown["redis"]["url"] == "redis://***@h/1"


def test_without_a_store_it_is_said_that_sessions_are_this_machines_alone() -> None:
    (warning,) = load_text(FILE, "f.yaml", {}).warnings
    assert "without redis.url sessions are kept on this machine alone" in str(warning)


def test_a_store_that_nobody_uses_is_said() -> None:
    (warning,) = load_text(
        FILE.replace("mode: redis", "mode: source-ip") + "redis: {url: 'redis://h'}\n", "f.yaml", {}
    ).warnings
    assert "redis: is used by nothing" in str(warning)


def test_bytes_have_no_sessions_in_redis() -> None:
    with pytest.raises(ConfigError, match="redis is read in requests, and listener 'main' has mode tcp"):
        load_text("mode: tcp\n" + FILE + "redis: {url: 'redis://h'}\n", "f.yaml", {})


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.config.checking.validation.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"redis\.url: Redis needs a library: pip install 'balance\[redis\]'"):
        load_text(FILE + "redis: {url: 'redis://h'}\n", "f.yaml", {})
