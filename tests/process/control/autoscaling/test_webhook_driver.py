"""A webhook that is told the size: what it gets, and what it may answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from scale_target import Target

from balance.autoscaling.settings import AutoscalerConfig
from balance.process.control.autoscaling.driver import Change, DriverError
from balance.process.control.autoscaling.webhook_driver import WebhookDriver

pytestmark = pytest.mark.long
CHANGE = Change("web", 2, 3, 41, "the load")


def scale(handle: Callable[..., tuple[int, Any]], **given: Any) -> Target:
    target = Target(handle)
    given.setdefault("timeout_s", 3.0)
    config = AutoscalerConfig(enabled=True, driver="webhook", url=f"http://127.0.0.1:{target.port}/scale?a=b", **given)
    try:
        asyncio.run(WebhookDriver(config, "web").scale(CHANGE))
    finally:
        target.close()
    return target


def test_it_gets_the_number_the_token_and_our_secret() -> None:
    target = scale(lambda *asked: (204, b""), token="s3cret")
    ((method, path, headers, document),) = target.requests
    assert (method, path, headers["Authorization"]) == ("POST", "/scale?a=b", "Bearer s3cret")
    assert document == {"pool": "web", "current": 2, "desired": 3, "fencing_token": 41, "reason": "the load"}


def test_a_failure_is_tried_again_with_the_same_key() -> None:
    answers = iter([(503, b""), (500, b"x"), (200, b"{}")])
    target = scale(lambda *asked: next(answers))
    assert len(target.requests) == 3
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in target.requests}) == 1


def test_each_change_has_a_key_of_its_own() -> None:
    """The same size may be wanted again: a receiver that knows the key would do nothing."""
    keys = {scale(lambda *asked: (204, b"")).requests[0][2]["Idempotency-Key"] for _ in range(3)}
    assert len(keys) == 3


def test_a_receiver_that_quotes_the_token_tells_it_nobody() -> None:
    with pytest.raises(DriverError, match=r"answers 400: you said Bearer \*\*\*$"):
        scale(lambda *asked: (400, b"you said Bearer s3cret"), token="s3cret")


def test_a_refusal_is_not() -> None:
    count = []
    with pytest.raises(DriverError, match=r"^the webhook failed: it answers 403: not \?you$"):
        scale(lambda *asked: (count.append(1), (403, b"not \x07you\nmore"))[1], token="s3cret")
    assert len(count) == 1


@pytest.mark.parametrize("answer", [(302, b""), (400, b""), (409, b"an older token")])
def test_nothing_but_a_2xx_is_a_success(answer: tuple[int, bytes]) -> None:
    with pytest.raises(DriverError, match=f"answers {answer[0]}"):
        scale(lambda *asked: answer)


def test_a_webhook_that_hangs_or_breaks_off_ends_in_time() -> None:
    with pytest.raises(DriverError, match="no answer within"):
        scale(lambda *asked: (time.sleep(1.0), (200, b""))[1], timeout_s=0.2)
    with pytest.raises(DriverError, match="breaks off"):
        scale(lambda *asked: (-1, b""), timeout_s=0.3)


def test_nobody_there_is_one_line_without_the_secret() -> None:
    config = AutoscalerConfig(enabled=True, driver="webhook", url="http://127.0.0.1:1/", token="s3cret", timeout_s=0.3)
    with pytest.raises(DriverError) as found:
        asyncio.run(WebhookDriver(config, "web").scale(CHANGE))
    assert "refused" in str(found.value) and "s3cret" not in str(found.value)
