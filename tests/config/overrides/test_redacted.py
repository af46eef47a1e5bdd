"""The effective configuration as JSON, with secrets redacted."""

import json

from balance.config.loading import load_text
from balance.config.overrides.redacted import redacted

FILE = """\
listen: ":8080"
backends: [{name: a, address: "127.0.0.1:9001", metadata: {rack: r1, api-key: "hush1", docs: "http://me:hush2@h/x"}}]
health_check:
  enabled: true
  type: http
  headers: {Authorization: "Bearer hush3", X-Token: hush4, X-Colour: red}
security: {trusted_proxies: [10.0.0.0/8]}
http: {limits: {body: 10MB}}
"""
COMMAND = """\
listen: ":8080"
backends: [{name: a, address: "127.0.0.1:9001"}]
health_check: {enabled: true, type: exec, command: [/bin/check, --password, hush5, "--token=hush6", --fast]}
"""


def test_every_key_is_there_with_what_applies() -> None:
    shown = redacted(load_text(FILE, "f.yaml", {}).config)
    assert json.loads(json.dumps(shown)) == shown
    (listener,), (pool,) = shown["listeners"], shown["pools"]
    assert listener["listen"] == [":8080"]
    assert listener["timeouts"]["tunnel"] == "1h"
    assert listener["http"]["limits"] == {"head": "32KB", "line": "8KB", "fields": 100, "body": "10MB"}
    assert pool["hash_key"] == "source-ip"
    assert pool["health_check"]["type"] == "http"
    assert pool["backends"][0]["address"] == "127.0.0.1:9001"
    assert shown["trusted_proxies"] == ["10.0.0.0/8"]
    assert shown["admin"]["listen"] == "127.0.0.1:9090"
    assert shown["admin"]["auth"] == {"tokens": [], "read_only_tokens": []}
    assert shown["metrics"]["listen"] is None
    assert shown["source"] == "f.yaml"


def test_secrets_are_not_shown_and_their_neighbours_are() -> None:
    shown = redacted(load_text(FILE, "f.yaml", {}).config)
    assert "hush" not in json.dumps(shown)
    pool = shown["pools"][0]
    assert pool["health_check"]["headers"] == [["Authorization", "***"], ["X-Token", "***"], ["X-Colour", "red"]]
    assert pool["backends"][0]["metadata"] == [["rack", "r1"], ["api-key", "***"], ["docs", "http://***@h/x"]]


def test_a_command_is_shown_without_its_secrets() -> None:
    command = redacted(load_text(COMMAND, "f.yaml", {}).config)["pools"][0]["health_check"]["command"]
    assert command == ["/bin/check", "--password", "***", "--token=***", "--fast"]


def test_secrets_in_routes_are_not_shown() -> None:
    text = """\
listen: ":8080"
backends: [{address: "a:1"}]
http:
  transform: {request_headers: [{action: set, name: Authorization, value: hush1}, {action: set, name: X-B, value: b}]}
  routes:
    - headers: {X-Api-Key: hush2, Cookie: {prefix: hush3}, X-A: c}
      query: {token: hush4}
      respond: {headers: {X-Token: hush5}}
      policy: {rules: [{when: {not: {subject: "header:X-Secret", equals: hush6}}, action: deny}]}
"""
    (listener,) = redacted(load_text(text, "f.yaml", {}).config)["listeners"]
    (route,) = listener["http"]["routes"]
    assert "hush" not in json.dumps(listener)
    assert [each["value"] for each in route["match"]["headers"]] == ["***", "***", "c"]
    assert [each["value"] for each in route["transform"]["request_headers"]] == ["***", "b"]


def test_what_a_canary_hashes_is_no_secret() -> None:
    text = "listen: ':1'\npools: {a: {backends: [{address: a:1}]}, b: {backends: [{address: b:1}]}}\n"
    text += "http: {routes: [{pool: a, policy: {canary: {pool: b, key: 'cookie:user'}}}]}"
    (listener,) = redacted(load_text(text, "f.yaml", {}).config)["listeners"]
    assert listener["http"]["routes"][0]["policy"]["canary"]["key"] == "cookie:user"
