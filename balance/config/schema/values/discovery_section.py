"""`discovery`: who says which backends a pool has."""

from __future__ import annotations

from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.section import Period, Section, Text, Timeout, key, one_or_list
from balance.config.schema.values.discovery_values import CONSUL_SERVICE, DNS_NAME, KUBERNETES_NAME, RESOLVER, SERVER

_TAGS = one_or_list(kind.TEXT)
_RESOLVERS = one_or_list(RESOLVER)


class DnsDiscoverySection(Section):
    """Asks DNS for a name's records, again and again (pip install 'balance[dns]'). NXDOMAIN, and an answer without records, say
    that there is nobody; a resolver that fails or is silent changes nothing."""

    section_name = "discovery.dns"
    name: Annotated[str, DNS_NAME] = key(
        "The name that is looked up. With a final dot it is complete; without, /etc/resolv.conf says which search domains are "
        "tried first.",
        required=True,
    )
    type: Annotated[str, kind.choice("a", "srv")] = key(
        "a: A and AAAA records, all with `port`. srv: SRV records, with their own ports; their weights are those of the "
        "backends, and all priorities but the lowest are backups.",
        "a",
    )
    port: Annotated[int, kind.integer(1, 65535)] = key("The port of every address (a).")
    refresh: Period = key("How long an answer holds at most; where its TTL is shorter, that, but not less than 5 s.", "30s")
    resolvers: Annotated[list[Annotated[str, RESOLVER]], _RESOLVERS[0], _RESOLVERS[1]] = key(
        "Whom to ask: addresses, with a port where it is not 53; the next where one fails. For them a name is complete: "
        "no search domains. Default: those of /etc/resolv.conf, which is read each time.",
        [],
    )


class FileDiscoverySection(Section):
    """Reads a file that somebody else writes, whenever it changes. Write a new file beside it and rename it: a file that is
    found half-written or empty changes nothing."""

    section_name = "discovery.file"
    path: Annotated[str, kind.FILE] = key(
        "YAML or JSON: a list of addresses or of backends, or {POOL: list} for several pools. It is taken from this file's "
        "folder, and may be missing at the start.",
        required=True,
    )


class ConsulDiscoverySection(Section):
    """Asks Consul which instances of a service pass their checks, and waits there for changes."""

    section_name = "discovery.consul"
    address: Annotated[str, SERVER] = key(
        "Where the agent's HTTP API is: http://host:port, https://host:port or unix:/path.", "http://127.0.0.1:8500"
    )
    service: Annotated[str, CONSUL_SERVICE] = key("The name of the service.", required=True)
    tag: Annotated[list[Text], _TAGS[0], _TAGS[1]] = key("A tag that instances must have, or a list: all of them.", [])
    datacenter: Text = key("Whose catalog. Default: the agent's own.", "")
    token: Annotated[str, kind.SECRET] = key("The ACL token.", "")
    token_file: Annotated[str, kind.FILE] = key("A file with the ACL token, in the place of `token`; read again each minute.")
    ca_file: Annotated[str, kind.FILE] = key("Who signs its certificate (https). Default: whom the system trusts.")


class KubernetesDiscoverySection(Section):
    """Watches the EndpointSlices of a Service."""

    section_name = "discovery.kubernetes"
    service: Annotated[str, KUBERNETES_NAME] = key("The name of the Service.", required=True)
    namespace: Annotated[str, KUBERNETES_NAME] = key(
        "Its namespace. Default: this pod's own, or that of the kubeconfig's context."
    )
    port: Text = key(
        "The name of the Service's port, or the number of the pods' (targetPort). Not needed when there is one.", ""
    )
    family: Annotated[str, kind.choice("auto", "ipv4", "ipv6")] = key(
        "Of a Service with both, the addresses that are used. auto: IPv4 where there is any.", "auto"
    )
    kubeconfig: Annotated[str, kind.FILE] = key(
        "Who is asked, and as whom, by its current context. Default: what a pod is given (in-cluster)."
    )


class DiscoverySection(Section):
    """Who says which backends a pool has, beside those of its own in `backends`, which stay. A pool has one source. At the top
    it is the default of every pool without a source and without backends; the other keys are those of every pool."""

    section_name = "discovery"
    dns: DnsDiscoverySection = key("DNS: addresses, or SRV records.")
    file: FileDiscoverySection = key("A file that somebody else writes.")
    consul: ConsulDiscoverySection = key("The instances of a service in Consul.")
    kubernetes: KubernetesDiscoverySection = key("The EndpointSlices of a Service in Kubernetes.")
    hold: Timeout = key(
        "An answer that says that there is nobody is not believed before; and a backend that is not found any more and comes "
        "back meanwhile keeps its standing: health, ejection, drain and counters.",
        "30s",
    )
    debounce: Timeout = key("Changes within it are served together, at the latest after ten times as long.", "200ms")
    on_empty: Annotated[str, kind.choice("hold", "empty")] = key(
        "What an answer without anybody does. hold: nothing for as long as `hold`; it empties the pool when it is still the "
        "answer then. empty: a second look is enough; for pools that may scale to zero.",
        "hold",
    )
