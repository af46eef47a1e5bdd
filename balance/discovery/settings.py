"""What `discovery` of a pool says: where its endpoints are asked for, and how far an answer is believed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DnsDiscovery:
    """Names of DNS: `a` asks for A and AAAA records and takes `port`, `srv` for SRV records, which have their own ports."""

    name: str
    type: str = "a"  # a, srv
    port: int = 0  # of `a`
    refresh_s: float = 30.0  # at most; a shorter TTL wins
    resolvers: tuple[str, ...] = ()  # address:port; none: those of /etc/resolv.conf


@dataclass(frozen=True, slots=True)
class FileDiscovery:
    """A file that somebody else writes."""

    path: str  # absolute, or from the folder of the process


@dataclass(frozen=True, slots=True)
class ConsulDiscovery:
    """A service in Consul's catalog, those of its instances whose checks pass."""

    service: str
    address: str = "http://127.0.0.1:8500"
    tags: tuple[str, ...] = ()  # an instance has all of them
    datacenter: str = ""  # "": that of the agent
    token: str = field(default="", repr=False)
    token_file: str = ""
    ca_file: str = ""  # who signs its certificate; "": an authority that the system trusts


@dataclass(frozen=True, slots=True)
class KubernetesDiscovery:
    """The EndpointSlices of a Service."""

    service: str
    namespace: str = ""  # "": the pod's own, or that of the kubeconfig's context
    port: str = ""  # its name or number; "": the only one
    kubeconfig: str = ""  # "": what a pod is given (in-cluster)
    family: str = "auto"  # auto: IPv4 where there is any; ipv4, ipv6


SourceSettings = DnsDiscovery | FileDiscovery | ConsulDiscovery | KubernetesDiscovery
KINDS: dict[type, str] = {
    DnsDiscovery: "dns",
    FileDiscovery: "file",
    ConsulDiscovery: "consul",
    KubernetesDiscovery: "kubernetes",
}  # as the file names them
SOURCE_KEYS = tuple(KINDS.values())


@dataclass(frozen=True, slots=True)
class Discovery:
    """The discovery of one pool."""

    source: SourceSettings
    hold_s: float = 30.0  # an empty answer is not believed before; what vanished keeps its standing as long
    debounce_s: float = 0.2
    on_empty: str = "hold"  # hold: as hold_s says; empty: a second look is enough

    @property
    def kind(self) -> str:
        """dns, file, consul or kubernetes."""
        return KINDS[type(self.source)]
