"""What Consul's `/v1/health/service/NAME` says (https://developer.hashicorp.com/consul/api-docs/health): who serves, and what
the index of a blocking query is to be next.

An instance is taken when all its checks pass and it has all the tags, whether or not the agent has filtered so. Its address
is the service's, or its node's where that is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.endpoint import MAX_NAME, MAX_WEIGHT, Endpoint, checked_address
from balance.discovery.json_reading import dict_of, list_of, printable, read_json, text_of

MAX_ENDPOINTS: Final = 10_000
MAX_TOLD: Final = 5  # of what is left out
NOBODY: Final = frozenset(("0.0.0.0", "::", "[::]"))  # "every interface", which some register: nobody can connect there
_NO_NAME: Final = re.compile(r"[^!-.0-~]+")  # printable ASCII but a space and a slash

# Consul's index is a 64-bit number; one that is longer was never its.
_INDEX: Final = re.compile(r"[0-9]{1,20}")


def next_index(said: str, before: int) -> int:
    """The index of the next blocking query; 0: begin anew, without one.

    An index that goes back (a restored snapshot, another server) would wait for changes up to the old one; one that is 0 or no
    number would not wait at all (https://developer.hashicorp.com/consul/api-docs/features/blocking).
    """
    index = int(said) if _INDEX.fullmatch(said.strip()) else 0
    return 0 if index < max(before, 1) else index


def health_of(body: bytes, fields: Mapping[str, str], tags: Sequence[str] = ()) -> Answer | SourceFailure:
    """What a reply of status 200 says."""
    try:
        document = read_json(body)
    except ValueError as error:
        return SourceFailure(str(error))
    if not isinstance(document, list):
        return SourceFailure("its answer is no list of instances; is there a Consul agent at this address?")
    found: dict[str, Endpoint] = {}
    names: set[str] = set()
    left_out: list[str] = []
    taken = 0
    for entry in document:
        try:
            endpoint = _endpoint(entry, tags)
        except ValueError as error:
            left_out.append(str(error))
            continue
        if endpoint is None:
            taken += 1  # understood, and not one of those that serve
        elif endpoint.address in found:
            left_out.append(f"{endpoint.name} is at {endpoint.address} too, like {found[endpoint.address].name}")
        else:
            if endpoint.name in names:  # they should be unique; its address is
                endpoint = replace(endpoint, name="")
            names.add(endpoint.name)
            found[endpoint.address] = endpoint
            taken += 1
        if len(found) > MAX_ENDPOINTS:
            return SourceFailure(f"its answer has more than {MAX_ENDPOINTS} instances")
    if document and not taken:
        return SourceFailure(f"no instance can be used: {left_out[0]}")
    if fields.get("x-consul-results-filtered-by-acls", "").lower() == "true":
        if not found:
            return SourceFailure("the token may not read this service or its nodes (ACL: service:read and node:read)")
        left_out.insert(0, "what the token may not read (ACL: node:read)")
    if not found and fields.get("x-consul-knownleader", "").lower() == "false":
        return SourceFailure("it knows no cluster leader, so that its empty answer says nothing")
    if len(left_out) > MAX_TOLD:
        left_out[MAX_TOLD:] = [f"and {len(left_out) - MAX_TOLD} more"]
    return Answer(tuple(found.values()), partial=tuple(left_out))


def failure_of_status(status: int, body: bytes, where_to: str = "") -> str:
    """In words, what a status other than 200 says. What else the body has is not told: it may quote the token."""
    said = printable(body[:200].decode("utf-8", "replace")).strip()
    if status == 403:
        what = "ACL not found" if "ACL not found" in said else "permission denied"
        return f"it refuses the token ({what}); it needs service:read and node:read"
    if status == 401:
        return "it asks for a login (401); what is between here and Consul?"
    if 300 <= status < 400:
        return f"it answers {status} and leads to {printable(where_to) or 'nowhere'}, which is not followed"
    if "No cluster leader" in said:
        return "it has no cluster leader"
    if "No path to datacenter" in said:
        return "it knows no way to that datacenter"
    if status == 400:
        return f"it answers 400: {said}"
    return f"it answers {status}"


def _endpoint(entry: Any, tags: Sequence[str]) -> Endpoint | None:
    """None: it does not serve. ValueError: what is wrong with it."""
    node, service = dict_of(dict_of(entry).get("Node")), dict_of(dict_of(entry).get("Service"))
    if not service:
        raise ValueError("an entry has no Service")
    names = text_of(node.get("Node")) or text_of(node.get("ID")), text_of(service.get("ID")) or text_of(service.get("Service"))
    name = _NO_NAME.sub(".", "@".join(reversed([part for part in names if part])))[-MAX_NAME:]
    if any(dict_of(check).get("Status", "passing") != "passing" for check in list_of(dict_of(entry).get("Checks"))):
        return None
    has = list_of(service.get("Tags"))
    if any(tag not in has for tag in tags):
        return None
    host = text_of(service.get("Address")).strip() or text_of(node.get("Address")).strip()
    port = service.get("Port")
    if type(port) is not int or not 0 < port < 65536:
        raise ValueError(f"{name} has no port")
    if not host or host in NOBODY:
        raise ValueError(f"{name} has no address: {printable(host)!r}")
    address = checked_address(f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}")
    weight = dict_of(service.get("Weights")).get("Passing", 1)
    if type(weight) is not int or weight < 0:
        raise ValueError(f"{name} has a weight that is none")
    region = _NO_NAME.sub(".", text_of(dict_of(service.get("Meta")).get("region")))[:MAX_NAME]
    return Endpoint(address, name, min(weight, MAX_WEIGHT), region=region)
