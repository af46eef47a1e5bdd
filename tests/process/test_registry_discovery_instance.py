"""Discovery through Consul and Kubernetes in whole instances: stand-ins that answer as documented, real backends, traffic."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer
from consul_agent import ConsulAgent
from instance_process import Instance, Origin, until
from instances import instance as consul_instance
from pem_files import self_signed
from slices import ENDING, endpoint, endpoint_slice, port
from stand_in import in_thread

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]


def found(instance: Instance) -> dict[str, Any]:
    state: dict[str, Any] = instance.ask("/status")[1]["pools"][0]["discovery"]
    return state


def answers(instance: Instance) -> set[str]:
    return {instance.get()[1] for _ in range(4)}


def is_nowhere(secret: str, instance: Instance) -> None:
    """Neither in what the admin port says, nor in the log."""
    for path in ("/config", "/status", "/pools", "/backends"):
        assert secret not in json.dumps(instance.ask(path)[1]), path
    assert secret not in instance.log


def test_a_pool_is_what_consul_says(run: Run, origins: Origins, tmp_path: Path) -> None:
    """Instances come and go, the leader goes and comes, the token is refused: traffic goes on, and what is wrong is said."""
    first, second = origins("first"), origins("second")
    entries = [consul_instance("", int(each.address.rpartition(":")[2]), node=f"n{n}", node_address="127.0.0.1")
               for n, each in enumerate((first, second))]  # fmt: skip
    with in_thread(ConsulAgent) as (agent, there):
        agent.tokens = {"very-secret-token": {"web"}}
        there(agent.put, "web", entries[0])
        discovery = {"consul": {"address": agent.url, "service": "web", "token": "very-secret-token"}, "debounce": "20ms"}
        instance = run(discovery=discovery, workers=2).ready()
        until(lambda: instance.get() == (200, "first"), "the first instance")
        assert [each["name"] for each in instance.ask("/status")[1]["pools"][0]["backends"]] == ["web@n0"]
        there(agent.put, "web", *entries)
        until(lambda: answers(instance) == {"first", "second"}, "both instances")
        there(agent.lead, False)
        until(lambda: found(instance)["state"] == "stale", "no leader")
        assert found(instance)["last_failure"]["words"] == "it has no cluster leader"
        assert answers(instance) == {"first", "second"}
        there(agent.lead, True)
        until(lambda: found(instance)["state"] == "fresh", "a leader")
        there(agent.put, "web", entries[1])
        until(lambda: answers(instance) == {"second"}, "the second alone")
        there(agent.stop)
        until(lambda: "connection refused" in (found(instance)["last_failure"] or {}).get("words", ""), "the agent is gone")
        assert answers(instance) == {"second"}
        is_nowhere("very-secret-token", instance)


def test_a_pool_is_what_kubernetes_says(run: Run, origins: Origins, tmp_path: Path) -> None:
    """A rolling update as slices tell of it, over TLS with a token's file; the API server goes away meanwhile."""
    cert, key = self_signed("kubernetes", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    first, second = origins("first"), origins("second")
    (tmp_path / "token").write_text("very-secret-token")

    def pod(name: str, origin: Origin, **conditions: bool) -> dict[str, Any]:
        number = int(origin.address.rpartition(":")[2])
        ready = conditions or {"ready": True, "serving": True, "terminating": False}
        return endpoint_slice(
            f"app-{name}", endpoint("127.0.0.1", name, conditions=ready, zone="eu-1a"), ports=[port(number, "http")]
        )

    with in_thread(ApiServer, context) as (server, there):
        server.tokens = {"very-secret-token"}
        there(server.put, pod("old", first))
        document = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
            "clusters": [
                {"name": "c", "cluster": {"server": f"https://127.0.0.1:{server.port}", "certificate-authority": str(cert)}}
            ],
            "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
        discovery = {"kubernetes": {"service": "app", "port": "http", "kubeconfig": "kubeconfig"}, "debounce": "20ms"}
        instance = run(discovery=discovery, workers=2).ready()
        until(lambda: instance.get() == (200, "first"), "the pod")
        (backend,) = instance.ask("/status")[1]["pools"][0]["backends"]
        assert (backend["name"], backend["region"]) == ("old", "eu-1a")
        there(server.put, pod("old", first, **ENDING))
        assert answers(instance) == {"first"}  # it ends, and there is nobody else
        there(server.put, pod("new", second))
        until(lambda: answers(instance) == {"second"}, "the new pod alone")
        there(server.delete, "app-old")
        until(lambda: found(instance)["endpoints"] == 1, "the old pod is gone")
        there(server.stop)
        until(lambda: found(instance)["state"] == "stale", "the API server is gone")
        assert answers(instance) == {"second"}
        there(server.put, pod("old", first))
        there(server.compact)
        there(server.start, context)
        until(lambda: answers(instance) == {"first", "second"}, "what has changed meanwhile")
        is_nowhere("very-secret-token", instance)
