"""EndpointSlices as an API server writes them (discovery.k8s.io/v1), for tests."""

from __future__ import annotations

from typing import Any


def endpoint(address: str, name: str = "", **more: Any) -> dict[str, Any]:
    """One endpoint; `conditions` are ready if not given."""
    made: dict[str, Any] = {"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}
    if name:
        made["targetRef"] = {"kind": "Pod", "namespace": "shop", "name": name, "uid": f"uid-{name}"}
    return made | more


READY = {"ready": True, "serving": True, "terminating": False}
STARTING = {"ready": False, "serving": False, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
DYING = {"ready": False, "serving": False, "terminating": True}


def port(number: int | None = 8080, name: str = "", protocol: str | None = "TCP") -> dict[str, Any]:
    return {"name": name, "port": number, "protocol": protocol}


def endpoint_slice(
    name: str,
    *endpoints: dict[str, Any],
    ports: list[dict[str, Any]] | None = None,
    family: str = "IPv4",
    service: str = "app",
    version: int = 1,
) -> dict[str, Any]:
    """One slice of a Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "resourceVersion": str(version),
            "labels": {
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [port()] if ports is None else ports,
    }
