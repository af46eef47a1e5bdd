"""The EndpointSlices of a Kubernetes Service, as list and watch give them, and who serves by all of them together
(discovery.k8s.io/v1, https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/).

Who is ready is used, where `ready` is absent too. Who ends but still serves keeps its sessions and gets nothing new, unless
nobody is ready: then it is used, as by kube-proxy (KEP-1669). All others are not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.endpoint import MAX_NAME, Endpoint
from balance.discovery.json_reading import dict_of, list_of, printable, text_of

MAX_ENDPOINTS: Final = 10_000
MAX_HELD: Final = 4 * MAX_ENDPOINTS  # slices and endpoints: of both families, and those that end
FAMILIES: Final = {"ipv4": "IPv4", "ipv6": "IPv6"}
_NO_NAME: Final = re.compile(r"[^!-.0-~]+")  # printable ASCII but a space and a slash


@dataclass(frozen=True, slots=True)
class _Slice:
    """One EndpointSlice, as far as it is for us."""

    family: str  # IPv4, IPv6
    ports: tuple[tuple[str, int], ...]  # of TCP, by name; 0: every port
    endpoints: tuple[tuple[Endpoint, bool], ...]  # the host alone in the place of an address; and whether it is ready


class EndpointSlices:
    """What is known of the slices of one Service."""

    __slots__ = ("_family", "_listed", "_port", "_slices")

    def __init__(self, port: str = "", family: str = "auto") -> None:
        """`port`: its name or number; "": the only one. `family`: auto (IPv4 where there is any), ipv4, ipv6."""
        self._port = port
        self._family = family
        self._slices: dict[str, _Slice] = {}
        self._listed: dict[str, _Slice] = {}  # of a list that is not read to its end

    def begin(self) -> None:
        """A list begins."""
        self._listed = {}

    def add(self, items: Iterable[Any]) -> None:
        """A page of it. ValueError when one has no name, or there are far too many."""
        for item in items:
            self._listed[_name(item)] = _read(item)
        _check_size(self._listed)

    def commit(self) -> None:
        """It has ended: these are all."""
        self._slices, self._listed = self._listed, {}

    def replace(self, items: Iterable[Any]) -> None:
        """All of them, from a list in one piece."""
        self.begin()
        self.add(items)
        self.commit()

    def apply(self, kind: str, item: dict[str, Any]) -> None:
        """An event: ADDED, MODIFIED, DELETED. ValueError for any other."""
        if kind == "DELETED":
            self._slices.pop(_name(item), None)
        elif kind in ("ADDED", "MODIFIED"):
            self._slices[_name(item)] = _read(item)
            _check_size(self._slices)
        else:
            raise ValueError(f"an event of type {printable(kind, 40)!r} is not known")

    def report(self) -> Answer | SourceFailure:
        """Who serves."""
        slices = [each for each in self._slices.values() if each.family == self._chosen() and each.endpoints]
        if not self._port and any(len({number for _, number in each.ports}) > 1 for each in slices):
            return SourceFailure(f"its endpoints have several ports, so `port` has to name one: {_ports(slices)}")
        ready: dict[str, Endpoint] = {}
        ending: dict[str, Endpoint] = {}
        has_port = not slices
        lists_ports = any(each.ports for each in slices)
        for each in slices:
            number = self._number(each, lists_ports)
            if number:
                has_port = True
                for endpoint, is_ready in each.endpoints:
                    address = f"{endpoint.address}:{number}"
                    (ready if is_ready else ending)[address] = replace(endpoint, address=address)
        if not has_port:
            wanted = f"has a port {self._port!r}" if self._port else "has a port"
            return SourceFailure(f"no endpoint {wanted}; there are: {_ports(slices) or 'none'}")
        if ready:
            found = ready | {address: replace(each, draining=True) for address, each in ending.items() if address not in ready}
        else:
            found = ending
        if len(found) > MAX_ENDPOINTS:
            return SourceFailure(f"it has more than {MAX_ENDPOINTS} endpoints")
        return Answer(_with_names(found))

    def _chosen(self) -> str:
        """The address family: a pod of a dual-stack Service has a slice in each, and is one backend, not two."""
        if self._family in FAMILIES:
            return FAMILIES[self._family]
        return "IPv4" if any(each.family == "IPv4" and each.endpoints for each in self._slices.values()) else "IPv6"

    def _number(self, each: _Slice, lists_ports: bool) -> int:
        """The port in a slice, 0 when it has not got it. A name may have another number in each slice."""
        number = int(self._port) if self._port.isdecimal() else 0
        if not each.ports:
            # A headless Service without ports; beside slices with ports these are pods that lack it (ingress-nginx#9141).
            return 0 if lists_ports else number
        if any(not found for _, found in each.ports):
            return number  # every port is meant
        for name, found in each.ports:
            if not self._port or name == self._port or (number and found == number):
                return found
        return 0


def _check_size(slices: dict[str, _Slice]) -> None:
    if len(slices) + sum(len(each.endpoints) for each in slices.values()) > MAX_HELD:
        raise ValueError(f"it has more than {MAX_HELD} slices and endpoints")


def _name(item: Any) -> str:
    name = text_of(dict_of(dict_of(item).get("metadata")).get("name"))
    if not name:
        raise ValueError("a slice has no name")
    return name


def _read(item: Any) -> _Slice:
    family = text_of(item.get("addressType"))
    ports = []
    for port in list_of(item.get("ports")):
        number = dict_of(port).get("port")
        if text_of(dict_of(port).get("protocol")) in ("", "TCP") and (number is None or _is_port(number)):
            ports.append((text_of(dict_of(port).get("name")), number or 0))
    endpoints = []
    for entry in list_of(item.get("endpoints")):
        found = _endpoint(dict_of(entry), family)
        if found is not None:
            endpoints.append(found)
    return _Slice(family, tuple(ports), tuple(endpoints))


def _is_port(number: object) -> bool:
    return type(number) is int and 0 < number < 65536


def _endpoint(entry: dict[str, Any], family: str) -> tuple[Endpoint, bool] | None:
    """One endpoint and whether it is ready; None: it does not serve, or has no address of the family."""
    addresses = list_of(entry.get("addresses"))
    host = text_of(addresses[0]) if addresses else ""  # all of them are the same endpoint; consumers take the first
    try:
        address = ip_address(host)
    except ValueError:
        return None  # FQDN slices (deprecated) among them
    if family != f"IPv{address.version}" or address.is_unspecified:
        return None
    conditions = dict_of(entry.get("conditions"))
    is_ready = conditions.get("ready") is not False  # absent is ready
    is_ending = conditions.get("terminating") is True
    serves = conditions.get("serving") is True  # absent is as ready is, which it is not where this is asked
    if not is_ready and not (is_ending and serves):
        return None
    name = _NO_NAME.sub(".", text_of(dict_of(entry.get("targetRef")).get("name")))[-MAX_NAME:]
    zone = _NO_NAME.sub(".", text_of(entry.get("zone")))[:MAX_NAME]
    return Endpoint(str(address) if address.version == 4 else f"[{address}]", name, region=zone), is_ready


def _with_names(found: dict[str, Endpoint]) -> tuple[Endpoint, ...]:
    """With names that are unique: a pod that is at several addresses has its name at the first."""
    names: set[str] = set()
    endpoints = []
    for address in sorted(found):
        endpoint = found[address]
        if endpoint.name in names:
            endpoint = replace(endpoint, name="")
        names.add(endpoint.name)
        endpoints.append(endpoint)
    return tuple(endpoints)


def _ports(slices: list[_Slice]) -> str:
    """The ports that there are, for a message."""
    return printable(
        ", ".join(sorted({f"{name or 'unnamed'} ({number or 'any'})" for each in slices for name, number in each.ports}))
    )
