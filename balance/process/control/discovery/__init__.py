"""Asks the sources of pools who serves them, in control."""

from __future__ import annotations

from importlib import import_module

from balance.discovery.settings import ConsulDiscovery, DnsDiscovery, FileDiscovery, KubernetesDiscovery, SourceSettings
from balance.process.control.discovery.source import Source

# By the kind of the settings: the module, and the source in it. It is imported where a pool has it.
SOURCES: dict[type[SourceSettings], tuple[str, str]] = {
    DnsDiscovery: ("balance.process.control.discovery.dns_source", "DnsSource"),
    FileDiscovery: ("balance.process.control.discovery.file_source", "FileSource"),
    ConsulDiscovery: ("balance.process.control.discovery.consul_source", "ConsulSource"),
    KubernetesDiscovery: ("balance.process.control.discovery.kubernetes_source", "KubernetesSource"),
}


def source_of(settings: SourceSettings, pool: str) -> Source:
    """The source that these settings of a pool name."""
    module, name = SOURCES[type(settings)]
    source: Source = getattr(import_module(module), name)(settings, pool)
    return source
