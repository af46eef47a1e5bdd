"""Errors in `autoscaler`: what its driver needs, keys that belong to another driver, bounds that cross."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from typing import Final

from balance.autoscaling.settings import AutoscalerConfig
from balance.config.build import KeyPaths
from balance.config.checking.pool_users import users_of
from balance.config.model import Config
from balance.config.reading.document import Path
from balance.model import Mode

Finding = tuple[Path, str]
# Keys that some drivers have, with what each looks like.
OF_DRIVERS: Final = {
    "command": ("process", "exec"),
    "url": ("webhook",),
    "token": ("webhook",),
    "deployment": ("kubernetes",),
    "kubeconfig": ("kubernetes",),
}
NEEDED: Final = {
    "process": ("command", "command: [python3, app.py, --port, '{port}']"),
    "exec": ("command", "command: [/usr/local/bin/scale, '{desired}']"),
    "webhook": ("url", "url: https://scaler.example/scale"),
    "kubernetes": ("deployment", "deployment: shop/web"),
}
_DEFAULTS: Final = {each.name: each.default for each in fields(AutoscalerConfig)}


def autoscaler_errors(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    users = users_of(config)
    seen: dict[tuple[str, str], str] = {}
    for index, pool in enumerate(config.pools):
        scaler = pool.autoscaler
        if not scaler.enabled:
            continue

        def path(key: str, index: int = index) -> Path:
            return paths.pool(index, f"autoscaler.{key}")

        if scaler.max < scaler.min:
            yield path("max"), f"{scaler.max} is less than min, {scaler.min}"
        needed, example = NEEDED[scaler.driver]
        if not getattr(scaler, needed) and not paths.document.is_broken(path(needed)):
            yield path("driver"), f"{scaler.driver} needs {needed}, like {example}"
        for key, drivers in OF_DRIVERS.items():
            if scaler.driver not in drivers and getattr(scaler, key) != _DEFAULTS[key]:
                yield path(key), f"has no effect with driver {scaler.driver}; it is for {' and '.join(drivers)}"
        if scaler.driver == "process":
            if scaler.command and not any("{port}" in argument for argument in scaler.command):
                yield path("command"), "has no {port} in it, where the process is told its port"
            if scaler.timeout_s != _DEFAULTS["timeout_s"]:
                yield path("timeout"), "has no effect with driver process; it is for exec, webhook and kubernetes"
            if scaler.dry_run and not pool.backends and pool.discovery is None:
                yield path("dry_run"), "starts nobody, and this pool has no backends of its own"
        if scaler.driver == "kubernetes" and scaler.deployment:
            target = (scaler.kubeconfig, scaler.deployment)
            if target in seen:
                yield path("deployment"), f"{scaler.deployment} is scaled by pool {seen[target]!r} too; two would fight over it"
            seen.setdefault(target, pool.name)
        if scaler.driver != "process" and config.redis.url and find_spec("redis") is None:
            yield ("redis", "url"), "needs a library: pip install 'balance[redis]'"
        if scaler.metric == "latency":
            for _, listener in users[pool.name]:
                if listener.mode is Mode.TCP:
                    yield (
                        path("metric"),
                        f"latency is that of replies, and listener {listener.name!r} has mode tcp; there, write active",
                    )
