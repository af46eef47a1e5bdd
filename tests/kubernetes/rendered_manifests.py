"""The manifests of deployments/kubernetes, as `kubectl apply -k` would send them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deployments" / "kubernetes"
TARGETS = ("base", *sorted(f"overlays/{each.name}" for each in (FOLDER / "overlays").iterdir()))
Manifest = dict[str, Any]


@functools.cache
def rendered(target: str) -> tuple[Manifest, ...]:
    """Every resource of a folder. Skips the test where there is no kubectl, which has Kustomize in it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl")
    done = subprocess.run([kubectl, "kustomize", str(FOLDER / target)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning of something that is going away
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(target: str, kind: str) -> list[Manifest]:
    return [each for each in rendered(target) if each["kind"] == kind]


def named(target: str, kind: str, name: str) -> Manifest:
    (found,) = (each for each in of_kind(target, kind) if each["metadata"]["name"] == name)
    return found


def deployment(target: str) -> Manifest:
    return named(target, "Deployment", "balance")


def pod(target: str) -> Manifest:
    """The specification of the pods."""
    spec: Manifest = deployment(target)["spec"]["template"]["spec"]
    return spec


def container(target: str) -> Manifest:
    (one,) = pod(target)["containers"]
    assert isinstance(one, dict)
    return one


def pod_labels(target: str) -> dict[str, str]:
    labels: dict[str, str] = deployment(target)["spec"]["template"]["metadata"]["labels"]
    return labels


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def configuration(target: str) -> str:
    """The text of the configuration that the pods mount."""
    (volume,) = (each for each in pod(target)["volumes"] if "configMap" in each)
    text: str = named(target, "ConfigMap", volume["configMap"]["name"])["data"]["config.yaml"]
    return text


def local_configuration(target: str, folder: Path) -> str:
    """The same for a machine that is no pod: with a Secret of its own, in `folder`."""
    (folder / "admin-token").write_text("a-token-that-only-this-test-has-0123456789")
    return configuration(target).replace("/etc/balance-secrets", str(folder))


def seconds(duration: str) -> float:
    """`500m`-like CPUs and Kubernetes' sizes have functions of their own."""
    return float(duration.removesuffix("s"))


def cpus(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def mebibytes(quantity: str) -> float:
    factors = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0}
    return float(quantity[:-2]) * factors[quantity[-2:]]
