"""The Kubernetes manifests: schemas, names that meet, rights, and what hurt others (S42 to S48 of the operations checklist)."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import rendered_manifests as manifests
import yaml
from rendered_manifests import FOLDER, ROOT, TARGETS, Manifest

from balance.admin.application import HEALTH_PATHS, METRICS_PATHS, READY_PATHS
from balance.config import load_text
from balance.config.cpus import limit_cpus
from balance.version import VERSION

OLDEST, NEWEST = "1.33", "1.37"  # that are maintained, and that the checker knows
MONITOR = json.loads((Path(__file__).parent / "service-monitor.schema.json").read_text())
ENVIRONMENT = {"REDIS_URL": "redis://127.0.0.1:6379/0"}
REDUCED = [target for target in TARGETS if target in ("base", "overlays/minimal")]
WITH_POLICIES = [target for target in TARGETS if target not in REDUCED]


def check(manifest: Manifest, version: str) -> None:
    if manifest["kind"] == "ServiceMonitor":
        jsonschema.validate(manifest, MONITOR)
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [NEWEST, pytest.param(OLDEST, marks=pytest.mark.long)])
def test_every_manifest_has_the_form_that_its_kind_has(version: str) -> None:
    every = {json.dumps(manifest): manifest for target in TARGETS for manifest in manifests.rendered(target)}
    for manifest in every.values():
        check(manifest, version)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSecond"), 60),
        ("Deployment", ("spec", "strategy", "rollingUpdate", "maxSurges"), 1),
        ("HorizontalPodAutoscaler", ("spec", "maxReplicas"), "ten"),
        ("PodDisruptionBudget", ("spec", "maxUnavailables"), 1),
        ("NetworkPolicy", ("spec", "egres"), []),
        ("ServiceMonitor", ("spec", "endpoints", 0, "targetport"), 9091),
    ],
)
def test_a_mistake_would_be_found(kind: str, path: tuple[Any, ...], value: Any) -> None:
    """S50: manifests rot unseen where nobody checks their form."""
    manifest = copy.deepcopy(manifests.of_kind("overlays/production", kind)[0])
    place: Any = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
        check(manifest, NEWEST)


@pytest.mark.parametrize("target", TARGETS)
def test_the_configuration_is_valid_and_listens_where_the_pod_says(target: str, tmp_path: Path) -> None:
    loaded = load_text(manifests.local_configuration(target, tmp_path), "config.yaml", ENVIRONMENT)
    assert loaded.warnings == ()
    config = loaded.config
    ports = {each["name"]: each["containerPort"] for each in manifests.container(target)["ports"]}
    (listener,) = config.listeners
    assert [address.port for address in listener.addresses] == [ports["http"]]
    assert config.metrics.address is not None
    assert config.metrics.address.port == ports["metrics"]
    assert config.admin.address.host == "127.0.0.1"


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_mounted_is_where_it_is_read(target: str) -> None:
    pod, container = manifests.pod(target), manifests.container(target)
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    assert set(mounts) == {each["name"] for each in pod["volumes"]}
    assert container["command"] == ["balance", "serve", "--config", f"{mounts['config']['mountPath']}/config.yaml"]
    assert f"token_file: {mounts['secrets']['mountPath']}/admin-token" in manifests.configuration(target)
    assert not any("subPath" in each for each in mounts.values())  # S8: such a file never changes
    (secret,) = (each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each)
    deployment_page = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
    assert f"kubectl create secret generic {secret} --from-literal=admin-token=" in deployment_page


@pytest.mark.parametrize("target", TARGETS)
def test_probes_ask_ports_and_paths_that_there_are(target: str) -> None:
    """S43: whether backends are ready is asked of readiness alone. With all of them down liveness stays good."""
    container = manifests.container(target)
    ports = {each["name"] for each in container["ports"]}
    for probe, paths in (("startupProbe", HEALTH_PATHS), ("livenessProbe", HEALTH_PATHS), ("readinessProbe", READY_PATHS)):
        asked = container[probe]["httpGet"]
        assert asked["path"] in paths
        assert asked["port"] in ports


@pytest.mark.parametrize("target", TARGETS)
def test_who_selects_pods_selects_these(target: str) -> None:
    labels, template = manifests.pod_labels(target), manifests.pod(target)
    assert manifests.selects(manifests.deployment(target)["spec"]["selector"]["matchLabels"], labels)
    for budget in manifests.of_kind(target, "PodDisruptionBudget"):
        assert manifests.selects(budget["spec"]["selector"]["matchLabels"], labels)
    for policy in manifests.of_kind(target, "NetworkPolicy"):
        assert manifests.selects(policy["spec"]["podSelector"]["matchLabels"], labels)
    for constraint in template["topologySpreadConstraints"]:
        assert manifests.selects(constraint["labelSelector"]["matchLabels"], labels)
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"  # one zone is better than none
    ports = {each["name"] for each in manifests.container(target)["ports"]}
    for service in manifests.of_kind(target, "Service"):
        assert manifests.selects(service["spec"]["selector"], labels)
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    assert template["serviceAccountName"] in {each["metadata"]["name"] for each in manifests.of_kind(target, "ServiceAccount")}


@pytest.mark.parametrize("target", TARGETS)
def test_the_number_of_pods_has_one_owner(target: str) -> None:
    """S42: `replicas` in a manifest sets back, at every apply, what the autoscaler has chosen."""
    scalers = manifests.of_kind(target, "HorizontalPodAutoscaler")
    spec = manifests.deployment(target)["spec"]
    if not scalers:
        assert spec["replicas"] == 3
        return
    (scaler,) = scalers
    assert "replicas" not in spec
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 10)
    assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "balance"}
    assert "cpu" in manifests.container(target)["resources"]["requests"]  # of which it takes the share


@pytest.mark.parametrize("target", TARGETS)
def test_a_node_s_drain_ends(target: str) -> None:
    """S47: a budget by minAvailable holds a node for ever where one pod is left, as one of pods that are not ready does."""
    (budget,) = manifests.of_kind(target, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("target", TARGETS)
def test_a_pod_is_nobody_and_writes_nowhere(target: str) -> None:
    """S45 and S46: a number for the user, as runAsNonRoot can't read names; a root that nobody writes to."""
    pod, container = manifests.pod(target), manifests.container(target)
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, int(user[1]), int(user[2]))
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"/run/balance", "/tmp"}
    assert all(each["emptyDir"]["sizeLimit"] for each in pod["volumes"] if "emptyDir" in each)
    assert pod["enableServiceLinks"] is False
    (config,) = (each["secret"] for each in pod["volumes"] if "secret" in each)
    assert config["defaultMode"] == 0o440
    assert context["fsGroup"] == context["runAsGroup"]


@pytest.mark.parametrize("target", TARGETS)
def test_no_secret_is_in_the_manifests(target: str) -> None:
    assert manifests.of_kind(target, "Secret") == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
def test_all_components_go_together(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / "overlays" / "everything"
    folder.mkdir()
    names = sorted(each.name for each in (FOLDER / "components").iterdir())
    parts = {"resources": ["../../base"], "components": [f"../../components/{name}" for name in names]}
    (folder / "kustomization.yaml").write_text(json.dumps({"kind": "Kustomization"} | parts))
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    for manifest in made:
        check(manifest, NEWEST)
    (scaling,) = (each for each in made if each["kind"] == "Role" and each["metadata"]["name"] == "balance-scaling")
    rights = {rule["resources"][0]: (rule.get("resourceNames"), set(rule["verbs"])) for rule in scaling["rules"]}
    assert rights == {  # of one Deployment alone
        "deployments/scale": (["app"], {"get", "update"}),
        "deployments": (["app"], {"get", "patch"}),
        "horizontalpodautoscalers": (None, {"list"}),
    }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
def test_another_configuration_is_another_rollout(tmp_path: Path) -> None:
    """helm#2610, kgateway#8733: a ConfigMap that changes and pods that never know."""
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    text = tmp_path / "kubernetes" / "base" / "config.yaml"
    text.write_text(text.read_text().replace("drain: 20s", "drain: 21s"))
    done = subprocess.run(["kubectl", "kustomize", str(text.parent)], capture_output=True, text=True, check=True)
    (other,) = (each for each in yaml.safe_load_all(done.stdout) if each["kind"] == "Deployment")
    names = [
        next(each["configMap"]["name"] for each in spec["volumes"] if "configMap" in each)
        for spec in (manifests.pod("base"), other["spec"]["template"]["spec"])
    ]
    assert names[0] != names[1]
    assert all(name.startswith("balance-") for name in names)


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_is_this_version(target: str) -> None:
    name, _, tag = manifests.container(target)["image"].rpartition(":")
    assert (name, tag) == ("registry.example.com/balance", VERSION)


@pytest.mark.parametrize("target", WITH_POLICIES)
def test_what_a_pod_has_to_reach_it_may_reach(target: str) -> None:
    """S48: a policy that denies the rest cuts off names (UDP and TCP), the API server, Redis."""
    allowed: set[tuple[str, int]] = set()
    for policy in manifests.of_kind(target, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            allowed |= {(each["protocol"], each["port"]) for each in rule.get("ports", ())}
    needed = {("UDP", 53), ("TCP", 53)}
    if "discovery" in target:
        needed |= {("TCP", 443), ("TCP", 6443)}
    if "redis" in target:
        needed |= {("TCP", 6379)}
    assert needed <= allowed
    rules = [rule for policy in manifests.of_kind(target, "NetworkPolicy") for rule in policy["spec"].get("egress", ())]
    assert {"to": [{"podSelector": {}}]} in rules  # backends, whatever their ports
    (policy,) = (each for each in manifests.of_kind(target, "NetworkPolicy") if each["metadata"]["name"] == "balance")
    ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert ports == {each["name"] for each in manifests.container(target)["ports"]}


@pytest.mark.parametrize(
    ("component", "ports"),
    [
        ("discovery", {443, 6443}),
        ("scaling", {443, 6443}),
        ("redis", {6379}),
        ("consul", {8500, 8501}),
        ("tracing", {4317, 4318}),
    ],
)
def test_a_component_opens_the_way_to_what_it_is_for(component: str, ports: set[int]) -> None:
    text = (FOLDER / "components" / component / "policy.yaml").read_text()
    assert ports <= set(map(int, re.findall(r"port: (\d+)", text)))


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in REDUCED])
def test_prometheus_finds_the_pods(target: str) -> None:
    """S48: a ServiceMonitor is for labels and port names of Services, not of pods, or it finds nothing."""
    (monitor,) = manifests.of_kind(target, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (service,) = (
        each for each in manifests.of_kind(target, "Service") if manifests.selects(wanted, each["metadata"]["labels"])
    )
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {each["name"] for each in service["spec"]["ports"]}
    assert endpoint["path"] in METRICS_PATHS
    # The alerts go by the job's name.
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "balance"
    assert 'job="balance"' in (ROOT / "deployments" / "monitoring" / "rules" / "alerts.yml").read_text()
    assert service["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("target", TARGETS)
def test_rights_are_those_that_are_used(target: str) -> None:
    rights = [rule for role in manifests.of_kind(target, "Role") for rule in role["rules"]]
    has_token = manifests.pod(target)["automountServiceAccountToken"]
    assert manifests.of_kind(target, "ClusterRole") == []
    if "discovery" not in target:
        assert (rights, has_token) == ([], False)
        return
    assert has_token is True
    assert rights == [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}]
    (binding,) = manifests.of_kind(target, "RoleBinding")
    assert binding["subjects"][0]["name"] == manifests.pod(target)["serviceAccountName"]
    assert binding["roleRef"]["name"] in {each["metadata"]["name"] for each in manifests.of_kind(target, "Role")}


@pytest.mark.parametrize("target", TARGETS)
def test_the_cpu_limit_makes_the_workers(target: str, tmp_path: Path) -> None:
    """S44: a pod sees every CPU of its node; the cgroup's quota is what counts."""
    limit = manifests.cpus(manifests.container(target)["resources"]["limits"]["cpu"])
    assert "workers: auto" in manifests.configuration(target)
    assert limit_cpus(64, [limit]) == 2
    assert (limit_cpus(64, [manifests.cpus("500m")]), limit_cpus(64, [manifests.cpus("1500m")])) == (1, 1)
