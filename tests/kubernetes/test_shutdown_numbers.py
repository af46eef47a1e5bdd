"""The numbers of a rolling update add up: what the manifests give Balance, and what its configuration takes (S43)."""

from __future__ import annotations

from pathlib import Path

import pytest
import rendered_manifests as manifests
from rendered_manifests import TARGETS

from balance.config import load_text
from balance.config.model import Config
from balance.process.supervisor import supervisor
from balance.process.worker import worker

FLUSH_S = 2 * worker.EXIT_GRACE_S + supervisor.CLOSE_TIMEOUT_S


def config_of(target: str, folder: Path) -> Config:
    text = manifests.local_configuration(target, folder)
    return load_text(text, "config.yaml", {"REDIS_URL": "redis://127.0.0.1/0"}).config


def pre_stop_s(target: str) -> int:
    sleep: int = manifests.container(target)["lifecycle"]["preStop"]["sleep"]["seconds"]
    return sleep


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_stop_takes_is_below_what_the_kubelet_gives(target: str, tmp_path: Path) -> None:
    config = config_of(target, tmp_path)
    taken_s = pre_stop_s(target) + config.shutdown_delay_s + config.drain_s + FLUSH_S
    assert taken_s < manifests.pod(target)["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("target", TARGETS)
def test_whoever_asks_sees_that_a_pod_is_not_ready_while_it_still_serves(target: str, tmp_path: Path) -> None:
    probe = manifests.container(target)["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < config_of(target, tmp_path).shutdown_delay_s
    assert probe["timeoutSeconds"] <= probe["periodSeconds"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_start_has_its_time_and_a_stuck_process_is_found(target: str) -> None:
    start, live = (manifests.container(target)[probe] for probe in ("startupProbe", "livenessProbe"))
    assert start["periodSeconds"] * start["failureThreshold"] > supervisor.START_TIMEOUT_S
    # Slower to restart than to take out of the endpoints.
    ready = manifests.container(target)["readinessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] > 3 * ready["periodSeconds"] * ready["failureThreshold"]
    spec = manifests.deployment(target)["spec"]
    assert spec["progressDeadlineSeconds"] > start["periodSeconds"] * start["failureThreshold"] + spec["minReadySeconds"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_rolling_update_never_has_fewer_pods_than_before(target: str) -> None:
    strategy = manifests.deployment(target)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


@pytest.mark.parametrize("target", TARGETS)
def test_a_pod_that_the_autoscaler_takes_away_has_drained_before_the_next_one_goes(target: str) -> None:
    for scaler in manifests.of_kind(target, "HorizontalPodAutoscaler"):
        (policy,) = scaler["spec"]["behavior"]["scaleDown"]["policies"]
        assert policy["type"] == "Pods"
        assert policy["periodSeconds"] / policy["value"] >= manifests.pod(target)["terminationGracePeriodSeconds"]
