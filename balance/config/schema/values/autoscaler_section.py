"""`autoscaler`: how many backends a pool may have, by which number, and who starts and stops them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from balance.config.schema import scalars as kind
from balance.config.schema.scalars import Scalar
from balance.config.schema.section import Flag, Period, Section, Text, Timeout, key
from balance.discovery.server_url import parse_server_url

DRIVERS = ("process", "exec", "webhook", "kubernetes")
METRICS = ("requests", "active", "latency")

_LABEL = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


def _parse_url(value: object) -> str:
    text = kind.as_text(value)
    try:
        url = urlsplit(text)
        is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        if is_good and "@" not in url.netloc:
            parse_server_url(f"{url.scheme}://{url.netloc}")  # a host that is none
    except ValueError:
        is_good = False
    if not is_good or not text.isascii() or not text.isprintable() or " " in text or len(text) > 2000 or "#" in text:
        raise ValueError("is no URL like https://scaler.example/scale")
    if url.username is not None or url.password is not None:
        raise ValueError("has a user or password in it, which would be in logs; write token")
    return text


URL = Scalar(_parse_url, {"type": "string", "pattern": r"^https?://\S+$"})
DEPLOYMENT = kind.text_matching(rf"({_LABEL}/)?{_LABEL}", "a Deployment's name, or NAMESPACE/NAME", 500)


class AutoscalerSection(Section):
    """Starts and stops backends with the load, as a Kubernetes HorizontalPodAutoscaler does: up at once, down late and slowly.
    docs/AUTOSCALING.md says what each key does to a load."""

    section_name = "autoscaler"
    enabled: Flag = key("Whether the size of the pool follows its load.", False)
    min: Annotated[int, kind.integer(1, 10_000)] = key(
        "Never fewer. 0 is not offered: a pool with nobody gets no traffic that could wake it.", 1
    )
    max: Annotated[int, kind.integer(1, 10_000)] = key("Never more.", 10)
    metric: Annotated[str, kind.choice(*METRICS)] = key(
        "requests: that got a backend in an interval (tcp: connections). active: under way or in the queue, on average. "
        "latency: from the choice of a backend to the end of its reply, on average, in milliseconds.",
        "requests",
    )
    target: Annotated[float, kind.number(0.001, 1_000_000_000)] = key(
        "How much of that is right for one backend. Within a tenth of it nothing changes.", 20
    )
    interval: Period = key("How often it is decided.", "15s")
    cooldown: Timeout = key("After any change the size does not shrink so long. It may grow.", "2m")
    step: Annotated[int, kind.integer(1, 10_000)] = key("How many come or go at a time.", 1)
    window: Timeout = key(
        "It shrinks no further than the most that was needed so long, and not before it was watched so long: not after a "
        "restart either.",
        "5m",
    )
    driver: Annotated[str, kind.choice(*DRIVERS)] = key(
        "process: a command is started once a backend, on this machine. exec: a command is told how many there should be. "
        "webhook: a URL is. kubernetes: the scale of a Deployment is set.",
        "process",
    )
    command: list[Text] = key(
        "process: the program of a backend and its arguments, without a shell; {port} is its port on 127.0.0.1. exec: what is "
        "run at a change; {desired}, {current}, {pool} and {token} are filled in.",
        [],
    )
    url: Annotated[str, URL] = key("webhook: who gets a POST of JSON at a change.")
    token: Annotated[str, kind.SECRET] = key("webhook: sent as `Authorization: Bearer`.", "")
    deployment: Annotated[str, DEPLOYMENT] = key("kubernetes: its name, or NAMESPACE/NAME.")
    kubeconfig: Annotated[str, kind.FILE] = key("kubernetes: who is asked, and as whom. Default: what a pod is given.")
    timeout: Period = key("exec, webhook, kubernetes: how long a change may take.", "10s")
    dry_run: Flag = key("Only say what would be done: in the log, on /autoscaler, in metrics.", False)
