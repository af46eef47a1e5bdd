"""The scale of a Deployment: set on condition, and never by a leader that was frozen and wakes up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scale_target import Deployment, Target

from balance.autoscaling.settings import AutoscalerConfig
from balance.process.control.autoscaling.driver import Change, DriverError
from balance.process.control.autoscaling.kubernetes_driver import ANNOTATION, KubernetesDriver

pytestmark = pytest.mark.long


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


@pytest.fixture
def api(deployment: Deployment) -> Iterator[Target]:
    target = Target(deployment.handle)
    yield target
    target.close()


def driver(api: Target, tmp_path: Path, name: str = "shop/web") -> KubernetesDriver:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test, namespace: shop}}}}]
clusters: [{{name: test, cluster: {{server: "http://127.0.0.1:{api.port}"}}}}]
users: [{{name: test, user: {{}}}}]
"""
    )
    config = AutoscalerConfig(enabled=True, driver="kubernetes", deployment=name, kubeconfig=str(kubeconfig), timeout_s=5.0)
    return KubernetesDriver(config, "web")


def change(desired: int, token: int) -> Change:
    return Change("web", 2, desired, token, "load")


def test_it_reads_the_replicas_fences_and_sets_the_scale(deployment: Deployment, api: Target, tmp_path: Path) -> None:
    async def run() -> None:
        leader = driver(api, tmp_path, "web")  # the namespace is the context's
        assert await leader.current(7) == 2
        assert deployment.annotations == {ANNOTATION: "7"}
        await leader.scale(change(4, 7))
        assert deployment.replicas == 4
        assert await leader.current(7) == 4

    asyncio.run(run())


def test_a_follower_and_a_dry_run_write_nothing(deployment: Deployment, api: Target, tmp_path: Path) -> None:
    async def run() -> None:
        assert await driver(api, tmp_path).current(0) == 2
        assert {method for method, *_ in api.requests} == {"GET"} and not deployment.annotations

    asyncio.run(run())


def test_a_paused_leader_that_wakes_before_it_reads_is_refused_by_the_annotation(
    deployment: Deployment, api: Target, tmp_path: Path
) -> None:
    async def run() -> None:
        paused, heir = driver(api, tmp_path), driver(api, tmp_path)
        await paused.current(7)
        await heir.current(8)
        with pytest.raises(DriverError, match="another balancer leads since: the Deployment has its token 8, ours is 7"):
            await paused.scale(change(9, 7))
        with pytest.raises(DriverError, match="another balancer leads"):
            await driver(api, tmp_path).current(7)
        assert deployment.replicas == 2

    asyncio.run(run())


def test_a_paused_leader_that_wakes_after_it_read_is_refused_by_the_version(
    deployment: Deployment, api: Target, tmp_path: Path
) -> None:
    """The heir decides that nothing has to change, and the late write would still be an old decision."""

    async def run() -> None:
        paused = driver(api, tmp_path)
        await paused.current(7)

        def heir_leads(method: str, path: str) -> None:
            if method == "PUT":  # the write of the paused one was on its way when the heir took over
                deployment.before = lambda method, path: None
                deployment.annotations[ANNOTATION] = "8"
                deployment.touched()

        deployment.before = heir_leads
        with pytest.raises(DriverError, match="another balancer leads since"):
            await paused.scale(change(9, 7))
        assert deployment.replicas == 2

    asyncio.run(run())


def test_a_conflict_with_the_status_is_read_again(deployment: Deployment, api: Target, tmp_path: Path) -> None:
    async def run() -> None:
        leader = driver(api, tmp_path)
        await leader.current(7)
        left = [3]

        def busy(method: str, path: str) -> None:
            if method == "PUT" and left[0]:
                left[0] -= 1
                deployment.touched()

        deployment.before = busy
        await leader.scale(change(5, 7))
        assert deployment.replicas == 5
        left[0] = 100
        with pytest.raises(DriverError, match="changed by others 5 times"):
            await leader.scale(change(6, 7))

    asyncio.run(run())


def test_beside_an_hpa_it_refuses(deployment: Deployment, api: Target, tmp_path: Path) -> None:
    """S42, kubernetes#101648."""
    target = {"kind": "Deployment", "name": "web"}
    deployment.hpas = [
        {"metadata": {"name": "other"}, "spec": {"scaleTargetRef": target | {"name": "other"}}},
        {"metadata": {"name": "web-hpa"}, "spec": {"scaleTargetRef": target}},
    ]

    async def run() -> None:
        with pytest.raises(DriverError, match="the HorizontalPodAutoscaler 'web-hpa' scales the same Deployment"):
            await driver(api, tmp_path).current(7)
        assert not deployment.annotations

    asyncio.run(run())


def test_where_it_may_not_see_hpas_it_says_so_once_and_goes_on(
    deployment: Deployment, api: Target, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deployment.hpa_status = 403

    async def run() -> None:
        leader = driver(api, tmp_path)
        assert await leader.current(7) == 2 and await leader.current(7) == 2

    asyncio.run(run())
    assert caplog.text.count("there must be none") == 1


def test_a_scale_of_zero_is_somebodys_and_left_alone(deployment: Deployment, api: Target, tmp_path: Path) -> None:
    deployment.replicas = 0

    async def run() -> None:
        with pytest.raises(DriverError, match="scaled to 0 by somebody"):
            await driver(api, tmp_path).current(7)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, {"message": "etcd\nis gone"}), r"answers 500: etcd\?is gone"),
        ((403, {"message": "deployments is forbidden"}), "answers 403: deployments is forbidden"),
        ((401, {"message": "Unauthorized"}), "answers 401"),
        ((404, {}), "there is no Deployment 'shop/web'"),
        ((200, b"[]"), "no JSON object"),
        ((200, b'{"spec": {"replicas": "many"}}'), "no number of replicas"),
        ((200, b"[" * 100_000), "no JSON object"),
        ((-1, b""), "breaks off"),
    ],
)
def test_what_the_api_server_may_answer_is_one_line(
    deployment: Deployment, api: Target, tmp_path: Path, answer: tuple[int, Any], words: str
) -> None:
    deployment.answer = answer

    async def run() -> None:
        with pytest.raises(DriverError, match=words) as found:
            await driver(api, tmp_path).current(0)
        assert "\n" not in str(found.value)

    asyncio.run(run())


def test_the_page_s_rights_are_those_that_are_used(deployment: Deployment, api: Target, tmp_path: Path) -> None:
    async def run() -> None:
        leader = driver(api, tmp_path)
        await leader.current(7)
        await leader.scale(change(4, 7))

    asyncio.run(run())
    verbs = {"GET": "get", "PATCH": "patch", "PUT": "update"}
    used = set()
    for method, path, *_ in api.requests:
        if path.endswith("horizontalpodautoscalers"):
            used.add(("autoscaling", "horizontalpodautoscalers", "list"))
        else:
            used.add(("apps", "deployments/scale" if path.endswith("/scale") else "deployments", verbs[method]))
    page = (Path(__file__).parents[4] / "docs" / "AUTOSCALING.md").read_text()
    rules = yaml.safe_load(page.partition("```yaml rbac\n")[2].partition("```")[0])["rules"]
    granted = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used == granted
