"""What is wrong with `autoscaler`, each in one line with its place."""

from __future__ import annotations

import pytest

from balance.config import load_text
from balance.errors import ConfigError

HTTP = "listen: ':8080'\nbackends: [{address: '127.0.0.1:9001'}]\n"


def problems(text: str) -> list[str]:
    try:
        load_text(text, "f.yaml")
    except ConfigError as error:
        return [str(each) for each in error.problems]
    return []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("{enabled: true}", "autoscaler.driver: process needs command, like command: [python3, app.py, --port, '{port}']"),
        ("{enabled: true, driver: exec}", "autoscaler.driver: exec needs command, like command: [/usr/local/bin/scale, "
         "'{desired}']"),
        ("{enabled: true, driver: webhook}", "autoscaler.driver: webhook needs url, like url: https://scaler.example/scale"),
        ("{enabled: true, driver: kubernetes}", "autoscaler.driver: kubernetes needs deployment, like deployment: shop/web"),
    ],
)  # fmt: skip
def test_what_a_driver_needs(given: str, line: str) -> None:
    (found,) = problems(HTTP + f"autoscaler: {given}\n")
    assert found.endswith(line), found
    assert not problems(HTTP + f"autoscaler: {given.replace('true', 'false')}\n")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("enabled: true, command: [app]", "autoscaler.command: has no {port} in it, where the process is told its port"),
        ("enabled: true, command: [app, '{port}'], min: 5, max: 4", "autoscaler.max: 4 is less than min, 5"),
        ("enabled: true, command: [app, '{port}'], min: 0", "autoscaler.min: "),
        ("enabled: true, command: [app, '{port}'], url: 'http://x'",
         "autoscaler.url: has no effect with driver process; it is for webhook"),
        ("enabled: true, command: [app, '{port}'], timeout: 3s",
         "autoscaler.timeout: has no effect with driver process; it is for exec, webhook and kubernetes"),
        ("enabled: true, driver: webhook, url: 'http://x', command: [a]",
         "autoscaler.command: has no effect with driver webhook; it is for process and exec"),
        ("enabled: true, driver: webhook, url: 'http://u:p@x/'",
         "autoscaler.url: has a user or password in it, which would be in logs; write token"),
        ("enabled: true, driver: webhook, url: 'ftp://x/'", "autoscaler.url: is no URL like https://scaler.example/scale"),
        ("enabled: true, driver: kubernetes, deployment: 'A b'",
         "autoscaler.deployment: 'A b' is not a Deployment's name, or NAMESPACE/NAME"),
        ("enabled: true, driver: docker", "autoscaler.driver: "),
        ("enabled: true, command: [a, '{port}'], metric: cpu", "autoscaler.metric: "),
        ("enabled: true, command: [a, '{port}'], maximum: 3", "unknown key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(given: str, line: str) -> None:
    found = problems(HTTP + f"autoscaler: {{{given}}}\n")
    assert any(line in each for each in found), found
    assert len(found) == 1 and "\n" not in found[0] and "u:p" not in found[0]


def test_a_pool_of_tcp_has_no_latency() -> None:
    (found,) = problems("mode: tcp\n" + HTTP + "autoscaler: {enabled: true, command: [a, '{port}'], metric: latency}\n")
    assert "listener 'main' has mode tcp; there, write active" in found


def test_two_pools_do_not_scale_one_deployment() -> None:
    scaler = "autoscaler: {enabled: true, driver: kubernetes, deployment: shop/web}"
    pools = "".join(f"  {name}: {{backends: [{{address: 'h:{port}'}}], {scaler}}}\n" for name, port in (("a", 1), ("b", 2)))
    (found,) = problems(f"listeners: [{{listen: ':8080', pool: a}}, {{listen: ':8081', pool: b}}]\npools:\n{pools}")
    assert found.endswith("deployment: shop/web is scaled by pool 'a' too; two would fight over it")


@pytest.mark.parametrize(
    "text",
    [
        "listen: ':8080'\nautoscaler: {enabled: true, command: [app, '{port}']}\n",
        "listeners: [{listen: ':8080', pool: a}]\npools: {a: {autoscaler: {enabled: true, command: [app, '{port}']}}}\n",
        "listeners: [{listen: ':8080', pool: a}]\npools: {a: {backends: [{address: 'h:1'}]}}\n"
        "autoscaler: {enabled: true, command: [app, '{port}']}\n",
    ],
)
def test_a_pool_whose_processes_are_started_needs_no_backends(text: str) -> None:
    assert not problems(text)


@pytest.mark.parametrize("driver", ["exec, command: [a]", "webhook, url: 'http://x/'", "kubernetes, deployment: a/b"])
def test_others_do(driver: str) -> None:
    found = problems(
        f"listeners: [{{listen: ':8080', pool: a}}]\npools: {{a: {{autoscaler: {{enabled: true, driver: {driver}}}}}}}\n"
    )
    assert any("backends" in each and "missing" in each for each in found), found


def test_a_pool_s_own_keys_win_one_by_one() -> None:
    config = load_text(
        "listeners: [{listen: ':8080', pool: a}]\npools: {a: {backends: [{address: 'h:1'}], autoscaler: {max: 4}}}\n"
        "autoscaler: {enabled: true, driver: exec, command: [scale], max: 8, step: 2}\n",
        "f.yaml",
    ).config
    scaler = config.pools[0].autoscaler
    assert (scaler.enabled, scaler.max, scaler.step, scaler.command) == (True, 4, 2, ("scale",))
