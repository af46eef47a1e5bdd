"""Which pool has which discovery, and what is refused."""

import pytest
import yaml

from balance.config import load_text
from balance.config.reading import discovery_settings
from balance.config.reading.discovery_settings import discovery_of
from balance.config.schema.values.discovery_section import (
    ConsulDiscoverySection,
    DiscoverySection,
    DnsDiscoverySection,
    KubernetesDiscoverySection,
)
from balance.discovery.settings import ConsulDiscovery, Discovery, DnsDiscovery, FileDiscovery, KubernetesDiscovery
from balance.errors import ConfigError

A, B = FileDiscovery("/etc/a.yaml"), FileDiscovery("/etc/b.yaml")
OWN = {"backends": [{"address": "h:1"}]}


def discoveries(text: str) -> dict[str, Discovery | None]:
    config = load_text(f"listen: ':8080'\n{text}", "/etc/balance.yaml", {}).config
    return {pool.name: pool.discovery for pool in config.pools}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("discovery: {file: {path: a.yaml}}", {"default": Discovery(A)}),
        ("discovery: {file: {path: a.yaml}}\nbackends: [{address: 'h:1'}]", {"default": Discovery(A)}),
        ("discovery: {file: {path: /etc/b.yaml}, hold: 5s, debounce: 0, on_empty: empty}",
         {"default": Discovery(B, 5, 0, "empty")}),
        ("pools: {p: {discovery: {file: {path: a.yaml}}}}", {"p": Discovery(A)}),
        ("discovery: {hold: 5s}\npools: {p: {discovery: {file: {path: a.yaml}}}}", {"p": Discovery(A, 5)}),
        ("discovery: {hold: 5s}\npools: {p: {discovery: {file: {path: a.yaml}, hold: 6s}}}", {"p": Discovery(A, 6)}),
        ("discovery: {file: {path: a.yaml}}\npools: {p: {discovery: {file: {path: b.yaml}}}, q: {}}"
         "\nhttp: {routes: [{pool: q, path_prefix: /q}, {pool: p}]}", {"p": Discovery(B), "q": Discovery(A)}),
        ("discovery: {file: {path: a.yaml}}\npools: {p: {backends: [{address: 'h:1'}]}, q: {discovery: {hold: 1s}}}"
         "\nhttp: {routes: [{pool: q, path_prefix: /q}, {pool: p}]}", {"p": None, "q": Discovery(A, 1)}),
        ("pools: {p: {backends: [{address: 'h:1'}]}}", {"p": None}),
    ],
)  # fmt: skip
def test_a_pool_has_its_own_source_or_the_one_at_the_top(text: str, found: dict[str, Discovery | None]) -> None:
    assert discoveries(text) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("discovery: {hold: 1s}", "discovery: has no source; write one, like file: {path: backends.yaml}"),
        ("backends: [{address: 'h:1'}]\ndiscovery: {hold: 1s}", "discovery: has no source"),
        ("pools: {p: {discovery: {hold: 1s}}}", "pools.p.discovery: has no source"),
        ("pools: {p: {}}", "pools.p: 'backends' is missing: write at least one, or discovery"),
        ("pools: {p: {backends: []}}", "pools.p.backends: is empty; write at least one backend"),
        ("discovery: {hold: 1s}\npools: {p: {backends: [{address: 'h:1'}]}}", "discovery: has no effect: no pool has a source"),
        ("discovery: {file: {path: x}}\npools: {p: {backends: [{address: 'h:1'}]}}", "discovery: has no effect: every"),
        ("discovery: {file: {}}", "discovery.file: 'path' is missing"),
        ("discovery: {file: {path: x}, on_empty: never}", "discovery.on_empty: "),
        ("discovery: {file: {path: x}, hold: soon}", "discovery.hold: "),
        ("discovery: {dns: {port: 80}}", "discovery.dns: 'name' is missing: "),
        ("discovery: {dns: {name: app.test}}", "discovery.dns: 'port' is missing"),
        ("pools: {p: {discovery: {dns: {name: app.test}}}}", "pools.p.discovery.dns: 'port' is missing"),
        ("discovery: {dns: {name: app.test, port: 0}}", "discovery.dns.port: 0 is not in 1..65535"),
        ("discovery: {dns: {name: app.test, type: srv, port: 80}}", "discovery.dns.port: has no effect with type: srv"),
        ("discovery: {dns: {name: app.test, type: mx, port: 80}}", "discovery.dns.type: 'mx' is not one of a, srv"),
        ("discovery: {dns: {name: app.test, port: 80, refresh: 1ms}}", "discovery.dns.refresh: is less than 0.1 s"),
        ("discovery: {consul: {service: web, token: a, token_file: b}}", "discovery.consul: has token and token_file"),
        ("discovery: {consul: {service: web, ca_file: b}}", "discovery.consul.ca_file: has no effect: `address` is not https"),
        ("discovery: {consul: {service: web, address: 'c:8500'}}", "discovery.consul.address: expected the address of a"),
        ("discovery: {consul: {service: web, address: 'http://u:p@c'}}", "discovery.consul.address: "),
        ("discovery: {consul: {service: 'a/b'}}", "discovery.consul.service: 'a/b' is not the name of a service"),
        ("discovery: {consul: {}}", "discovery.consul: 'service' is missing"),
        ("discovery: {kubernetes: {service: ''}}", "discovery.kubernetes.service: '' is not a name in Kubernetes"),
        ("discovery: {kubernetes: {service: app, namespace: 'a=b'}}", "discovery.kubernetes.namespace: 'a=b' is not a name in"),
        ("discovery: {kubernetes: {service: app, family: ipv5}}", "discovery.kubernetes.family: 'ipv5' is not one of"),
        ("discovery: {dns: {name: app.test, port: 80}, file: {path: x}}", "discovery: has dns and file; a pool has one source"),
    ],
)  # fmt: skip
def test_what_would_do_nothing_or_is_no_value_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        discoveries(text)
    (found,) = caught.value.problems
    assert f"{found.path}: {found.message}".startswith(problem)


def test_library_that_is_not_there_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_settings, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"2:18: discovery\.dns: needs a library: pip install 'balance\[dns\]'"):
        discoveries("discovery: {dns: {name: app.test, port: 80}}")


@pytest.mark.parametrize(
    ("given", "section", "source"),
    [
        ("{name: a.example, port: 80}", DnsDiscoverySection, DnsDiscovery("a.example", port=80)),
        ("{name: a, type: srv, refresh: 5s, resolvers: '127.0.0.1'}", DnsDiscoverySection,
         DnsDiscovery("a", "srv", 0, 5.0, ("127.0.0.1:53",))),
        ("{service: web}", ConsulDiscoverySection, ConsulDiscovery("web")),
        ("{service: web, tag: [a, b], datacenter: dc1, token: t, token_file: f, address: 'http://c:8500'}",
         ConsulDiscoverySection,
         ConsulDiscovery("web", "http://c:8500", ("a", "b"), "dc1", "t", "/etc/f")),
        ("{service: web}", KubernetesDiscoverySection, KubernetesDiscovery("web")),
        ("{service: web, namespace: n, port: http, kubeconfig: k}", KubernetesDiscoverySection,
         KubernetesDiscovery("web", "n", "http", "/etc/k")),
    ],
)  # fmt: skip
def test_sources_are_what_their_keys_say(given: str, section: type, source: object) -> None:
    made = section.model_validate(yaml.safe_load(given))
    names = {DnsDiscoverySection: "dns", ConsulDiscoverySection: "consul", KubernetesDiscoverySection: "kubernetes"}

    class Of(DiscoverySection):
        def given(self) -> dict[str, object]:
            return {names[section]: made}

    found = discovery_of(Of(), None, "/etc", takes_top=True)
    assert found is not None
    assert found.source == source
    assert found.kind == names[section]
    assert "token='t'" not in repr(found)
