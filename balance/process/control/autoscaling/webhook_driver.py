"""Driver `webhook`: a POST of JSON says how many backends there should be; any 2xx means that it is or will be so.

A failure is tried again within the timeout of the change, with growing pauses, where that can help: no connection, no answer, a
429 or a 5xx. The receiver may get the same change twice; it is a number, not a difference, and it carries the fencing token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from typing import Final
from urllib.parse import urlsplit

from balance.autoscaling.settings import AutoscalerConfig
from balance.process.control.autoscaling.driver import Change, Driver, DriverError
from balance.process.control.http_client.client import ClientError, HttpClient, Reply, server_of

FIRST_PAUSE_S: Final = 0.5
MAX_REPLY: Final = 64 * 1024
MAX_TRIES: Final = 5


class WebhookDriver(Driver):
    """See the module."""

    def __init__(self, config: AutoscalerConfig, pool: str) -> None:
        self._config = config
        parts = urlsplit(config.url)
        context = ssl.create_default_context() if parts.scheme == "https" else None
        self._client = HttpClient(server_of(f"{parts.scheme}://{parts.netloc}", context))
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._fields = [("Content-Type", "application/json"), ("Accept", "application/json")]
        if config.token:
            self._fields.append(("Authorization", f"Bearer {config.token}"))

    async def current(self, token: int) -> int | None:
        return None

    async def scale(self, change: Change) -> None:
        body = json.dumps(change.document()).encode()
        fields = [*self._fields, ("Idempotency-Key", secrets.token_hex(16))]  # of all tries of one change
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._config.timeout_s
        pause_s, words = FIRST_PAUSE_S, ""
        for _ in range(MAX_TRIES):
            try:
                reply = await self._client.request(
                    "POST", self._target, fields, body, within_s=max(0.05, ends_at - loop.time()), max_bytes=MAX_REPLY
                )
            except ClientError as error:
                words = str(error)
            else:
                if 200 <= reply.status < 300:
                    return
                words = f"it answers {reply.status}{_said(reply, self._config.token)}"
                if reply.status != 429 and reply.status < 500:
                    break  # the same question gets the same answer
            if loop.time() + pause_s >= ends_at:
                break
            await asyncio.sleep(pause_s)
            pause_s *= 2
        raise DriverError(f"the webhook failed: {words}")


def _said(reply: Reply, token: str) -> str:
    """The beginning of the body of an error, printable, without the token, which it may quote."""
    text = reply.body.decode("utf-8", "replace")
    text = (text.replace(token, "***") if token else text).strip().partition("\n")[0][:200]
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f": {text}" if text else ""
