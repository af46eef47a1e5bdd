"""Mistakes in `logging` are told in one line that names what is allowed; keys that would do nothing are refused."""

import pytest

from balance.config import load_text
from balance.errors import ConfigError

HEAD = "listen: ':1'\nbackends: [{address: 'a:1'}]\n"
ACCESS = HEAD + "logging: {access_log: {enabled: true, %s}}\n"


@pytest.mark.parametrize(
    ("keys", "key", "what"),
    [
        ("format: xml", "format", "'xml' is not one of json, combined, template"),
        ("format: template", "template", "format template needs a template, like"),
        ("template: '{path}'", "template", "the format is json, which has no template; write format: template"),
        (
            "format: template, template: '{paht}'",
            "template",
            "there is no field {paht}; did you mean {path}? Fields are time,",
        ),
        ("format: template, template: '{path'", "template", "a single '{' at character 1; write {{ for the brace"),
        ("output: 'syslog+tls://h:1'", "output", "'syslog+tls://h:1' is not syslog:PATH, syslog+udp://HOST:PORT or syslog+tcp"),
        ("output: 'syslog+udp://h'", "output", "'syslog+udp://h': 'h' has no port"),
        ("output: /tmp", "output", "'/tmp' is a folder; write the path of a file in it"),
        ("sample: 2", "sample", "expected a number from 0 to 1, got 2"),
        ("sample: 1%", "sample", "expected a number from 0 to 1, got '1%'"),
        ("sample: 1, slow_threshold: 1s", "slow_threshold", "with sample: 1 every request is logged"),
        ("slow_threshold: fast", "slow_threshold", "'fast' is not a duration"),
    ],
)
def test_mistake_in_the_access_log_is_told(keys: str, key: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(ACCESS % keys, "f.yaml", {})
    (problem,) = [str(problem) for problem in caught.value.problems]
    assert f"logging.access_log.{key}: " in problem and "\n" not in problem
    assert what in problem


def test_the_log_itself_looks_up_no_names() -> None:
    with pytest.raises(ConfigError, match=r"logging\.output: .*'logs' is no address; only the access log looks up names"):
        load_text(HEAD + "logging: {output: 'syslog+udp://logs:514'}", "f.yaml", {})
    for output in ("syslog:/dev/log", "syslog+tcp://127.0.0.1:514", "syslog+udp://[::1]:514"):
        assert load_text(HEAD + f"logging: {{output: '{output}'}}", "f.yaml", {}).config.logging.output == output


def test_sample_is_all_or_with_a_threshold_the_slow_ones() -> None:
    access = load_text(
        ACCESS % "slow_threshold: 1500ms, output: 'syslog+tcp://logs.example:601'", "f.yaml", {}
    ).config.logging.access_log
    assert (access.sample, access.slow_threshold_s) == (None, 1.5)
    assert load_text(ACCESS % "sample: 0.25", "f.yaml", {}).config.logging.access_log.sample == 0.25
