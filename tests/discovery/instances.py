"""Instances of services as a Consul agent answers them (/v1/health/service/NAME), for tests."""

from __future__ import annotations

from typing import Any


def instance(
    address: str, port: Any = 80, node: str = "n1", node_address: str = "10.9.9.9", status: str = "passing", **service: Any
) -> dict[str, Any]:
    """One entry: a node, a service on it, their checks."""
    identity = service.get("ID", "web")
    return {
        "Node": {
            "ID": "40e4a748-2192-161a-0510-9bf59fe950b5",
            "Node": node,
            "Address": node_address,
            "Datacenter": "dc1",
            "TaggedAddresses": {"lan": node_address, "wan": node_address},
            "Meta": {},
        },
        "Service": {
            "ID": identity,
            "Service": "web",
            "Tags": ["primary"],
            "Address": address,
            "Meta": {"version": "4"},
            "Port": port,
            "Weights": {"Passing": 10, "Warning": 1},
            "EnableTagOverride": False,
        }
        | service,
        "Checks": [
            {"Node": node, "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing", "ServiceID": ""},
            {"Node": node, "CheckID": f"service:{identity}", "Status": status, "ServiceID": identity, "ServiceName": "web"},
        ],
    }
