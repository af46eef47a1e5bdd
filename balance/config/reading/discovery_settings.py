"""Builds the discovery of a pool: its own source, or the one at the top; and finds what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from balance.config.reading.document import Document, Path
from balance.config.schema.schema import PoolSection, RootSection
from balance.config.schema.section import Section
from balance.config.schema.values.discovery_section import (
    ConsulDiscoverySection,
    DiscoverySection,
    DnsDiscoverySection,
    FileDiscoverySection,
    KubernetesDiscoverySection,
)
from balance.discovery.settings import (
    SOURCE_KEYS,
    ConsulDiscovery,
    Discovery,
    DnsDiscovery,
    FileDiscovery,
    KubernetesDiscovery,
    SourceSettings,
)

Finding = tuple[Path, str]
MIN_REFRESH_S = 0.1
_WAYS = "file: {path: backends.yaml}"


def source_keys(section: DiscoverySection | None) -> list[str]:
    """The sources that a section names; one, or something is wrong."""
    given = section.given() if section is not None else {}
    return [name for name in SOURCE_KEYS if name in given]


def discovery_of(
    top: DiscoverySection | None, own: DiscoverySection | None, folder: str, *, takes_top: bool
) -> Discovery | None:
    """`takes_top`: the pool has the source at the top when it has none of its own. A path is taken from `folder`."""
    named = own if source_keys(own) else top if takes_top and source_keys(top) else None
    if named is None:
        return None
    given: dict[str, Any] = {}
    for section in (top, own):
        if section is not None:
            given |= {name: value for name, value in section.given().items() if name not in SOURCE_KEYS}
    source = _source(named.given()[source_keys(named)[0]], folder)
    names = {"hold": "hold_s", "debounce": "debounce_s"}
    return Discovery(source, **{names.get(name, name): value for name, value in given.items()})


def takes_top(path: Path, pool: PoolSection, document: Document) -> bool:
    """Whether a pool has the source at the top, when it has none of its own: the one pool of the simple form, and those without
    backends in the file, whatever is laid over them.
    """
    return path == () or (path[0] == "pools" and _is_left_to_discovery(str(path[1]), pool, document))


def _is_left_to_discovery(name: str, pool: PoolSection, document: Document) -> bool:
    return not pool.backends if document.found_in is None else name in document.found_in


def _source(section: Section, folder: str) -> SourceSettings:
    given = section.given()
    match section:
        case DnsDiscoverySection():
            if "refresh" in given:
                given["refresh_s"] = given.pop("refresh")
            return DnsDiscovery(**{"name": "", **_with_tuples(given)})
        case ConsulDiscoverySection():
            if "tag" in given:
                given["tags"] = given.pop("tag")
            return ConsulDiscovery(**{"service": "", **_with_tuples(given), **_paths(given, folder, "token_file", "ca_file")})
        case KubernetesDiscoverySection():
            return KubernetesDiscovery(**{"service": "", **given, **_paths(given, folder, "kubeconfig")})
        case _:
            assert isinstance(section, FileDiscoverySection)
            return FileDiscovery(**{"path": "", **_paths(given, folder, "path")})


def _with_tuples(given: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _paths(given: dict[str, Any], folder: str, *names: str) -> dict[str, str]:
    return {name: os.path.join(folder, given[name]) for name in names if name in given}


def _dns_errors(path: Path, section: DnsDiscoverySection, document: Document) -> Iterator[Finding]:
    given = section.given()
    is_srv, has_port = given.get("type") == "srv", document.has((*path, "port"))
    if is_srv and has_port:
        yield (*path, "port"), "has no effect with type: srv, whose records have ports of their own"
    elif not is_srv and not has_port and not document.is_broken((*path, "type")):
        yield path, "'port' is missing: records of addresses have none"
    if given.get("refresh", MIN_REFRESH_S) < MIN_REFRESH_S:
        yield (*path, "refresh"), f"is less than {MIN_REFRESH_S:g} s, which no resolver is asked"
    if find_spec("aiodns") is None:
        yield path, "needs a library: pip install 'balance[dns]'"


def discovery_errors(root: RootSection, document: Document) -> Iterator[Finding]:
    """What is wrong with `discovery` of pools and at the top."""
    pools = root.pools or {}
    places: list[tuple[Path, DiscoverySection]] = [] if root.discovery is None else [(("discovery",), root.discovery)]
    places += [(("pools", name, "discovery"), pool.discovery) for name, pool in pools.items() if pool.discovery is not None]
    for path, section in places:
        if len(found := source_keys(section)) > 1:
            yield path, f"has {' and '.join(found)}; a pool has one source"
        if isinstance(dns := section.given().get("dns"), DnsDiscoverySection):
            yield from _dns_errors((*path, "dns"), dns, document)
        if isinstance(consul := section.given().get("consul"), ConsulDiscoverySection):
            yield from _consul_errors((*path, "consul"), consul)
    is_named_at_top = bool(source_keys(root.discovery))
    if root.pools is None:
        if root.discovery is not None and not is_named_at_top and not document.is_broken(("discovery",)):
            yield ("discovery",), f"has no source; write one, like {_WAYS}"
        return
    for name, pool in pools.items():
        if pool.discovery is not None and not source_keys(pool.discovery):
            path = ("pools", name, "discovery")
            if not is_named_at_top or not _is_left_to_discovery(name, pool, document):
                yield path, f"has no source; write one, like {_WAYS}"
    if root.discovery is None:
        return
    left = (name for name, pool in pools.items() if _is_left_to_discovery(name, pool, document))
    if is_named_at_top and all(source_keys(pools[name].discovery) for name in left):
        yield (
            ("discovery",),
            "has no effect: every pool has backends or a source of its own; write it in a pool",
        )
    elif not is_named_at_top and not any(source_keys(pool.discovery) for pool in pools.values()):
        yield ("discovery",), f"has no effect: no pool has a source; write one in a pool, like {_WAYS}"


def _consul_errors(path: Path, section: ConsulDiscoverySection) -> Iterator[Finding]:
    given = section.given()
    if given.get("token") and given.get("token_file"):
        yield path, "has token and token_file; write one of them"
    if given.get("ca_file") and not given.get("address", "").startswith("https:"):
        yield (*path, "ca_file"), "has no effect: `address` is not https"
