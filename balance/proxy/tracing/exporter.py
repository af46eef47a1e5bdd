"""Sends spans in the background, from the worker's own loop: an exporter that is down, slow or wrong costs nothing but spans.

What waits is bounded, what is beyond is dropped and counted. Spans are encoded a few at a time, between the turns of the loop,
so that no request waits for more than those. An export is tried again until its time is over, with pauses that a stop ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from balance.errors import ProtocolError
from balance.proxy.tracing.receiver import Answer, ReceiverConnection
from balance.tracing.http_spans import FinishedRequest, encode
from balance.tracing.otlp import Resource

MAX_WAITING: Final = 2048  # requests whose spans wait
BATCH: Final = 256  # requests in one export
SLICE: Final = 8  # requests that are encoded in one turn of the loop
INTERVAL_S: Final = 1.0
EXPORT_S: Final = 10.0  # for one export, all its tries and pauses together; OpenTelemetry's own default
TRY_S: Final = 5.0  # for one of its tries: one that hangs leaves time for another
FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 4.0
SAY_EVERY_S: Final = 60.0  # a receiver that fails and works in turns is not told of more often

log: Final = logging.getLogger("balance.worker")


class Exporter:
    """One for each tracer. It works from the first span on, until close()."""

    __slots__ = (
        "_full",
        "_interval_s",
        "_is_failing",
        "_is_said",
        "_loop",
        "_lost",
        "_rand",
        "_receiver",
        "_resource",
        "_say_at",
        "_some",
        "_stop",
        "_task",
        "_waiting",
        "dropped",
        "exported",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: ReceiverConnection,
        resource: Resource,
        rand: Callable[[], float],
        interval_s: float = INTERVAL_S,
    ) -> None:
        """`interval_s` is the wait from the first span to its export, unless a batch is full."""
        self._loop = loop
        self._receiver = receiver
        self._resource = resource
        self._rand = rand
        self._interval_s = interval_s
        self._waiting: deque[FinishedRequest] = deque()
        self._some = asyncio.Event()  # a request waits
        self._full = asyncio.Event()  # a batch of them
        self._stop = asyncio.Event()  # what pauses goes on
        self._task: asyncio.Task[None] | None = None
        self._is_failing = self._is_said = False
        self._say_at = 0.0
        self._lost = 0  # spans, since that was last told
        self.exported = 0  # spans so far
        self.dropped = 0

    def add(self, request: FinishedRequest) -> None:
        """Take the spans of a request, or drop them when too many wait."""
        waiting = self._waiting
        if self._stop.is_set() or len(waiting) >= MAX_WAITING:
            self._drop(request.spans, "spans come faster than they are taken")
            return
        waiting.append(request)
        if self._task is None:
            self._task = self._loop.create_task(self._run(), name="traces")
        elif len(waiting) == 1:
            self._some.set()
        elif len(waiting) == BATCH:
            self._full.set()

    async def close(self, within_s: float) -> None:
        """Send what waits, within this time, and end. Each export is tried once."""
        self._stop.set()
        self._some.set()
        self._full.set()
        task = self._task
        if task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(within_s):
                    await asyncio.shield(task)
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        left = sum([request.spans for request in self._waiting])
        self._waiting.clear()
        if left:
            self._drop(left, "there was no time to send them before the end")
        self._receiver.close()

    async def _run(self) -> None:
        """Export batch after batch, until close()."""
        while True:
            if not self._waiting:
                if self._stop.is_set():
                    return
                self._some.clear()
                await self._some.wait()
            if len(self._waiting) < BATCH and not self._stop.is_set():
                self._full.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._full.wait()
            if self._waiting:
                await self._export_some()

    async def _export_some(self) -> None:
        waiting = self._waiting
        parts: list[bytes] = []
        count = 0
        try:
            while waiting and len(parts) < BATCH:
                for _ in range(min(SLICE, len(waiting), BATCH - len(parts))):
                    request = waiting.popleft()
                    count += request.spans
                    parts.append(encode(request))
                await asyncio.sleep(0)
            answer = await self._deliver(self._resource.request(parts))
        except asyncio.CancelledError:
            self._drop(count, "there was no time to send them before the end")
            raise
        except Exception as error:  # a bug of ours is no reason to end the export of what comes
            log.exception("an export of spans failed")
            answer = Answer(False, False, 0, f"{type(error).__name__}")
        if not answer.is_taken:
            self._drop(count, answer.why)
            return
        self.exported += count - answer.rejected
        if answer.rejected:
            self._drop(answer.rejected, f"it refuses some: {answer.why[:200]!r}")
        else:
            self._works()

    async def _deliver(self, body: bytes) -> Answer:
        """Send until it is taken, or refused, or the time is over."""
        ends_at = monotonic() + EXPORT_S
        pause_s = FIRST_PAUSE_S
        while True:
            answer = await self._try(body, min(TRY_S, ends_at - monotonic()))
            wait_s = max(answer.wait_s, pause_s * (0.5 + self._rand() / 2))
            if answer.is_taken or not answer.is_retryable or self._stop.is_set() or monotonic() + wait_s >= ends_at:
                return answer
            self._say(answer.why)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _try(self, body: bytes, within_s: float) -> Answer:
        try:
            async with asyncio.timeout(within_s):
                return await self._receiver.send(body)
        except TimeoutError:
            why = f"no answer within {within_s:.3g} s"
        except ssl.SSLCertVerificationError as error:
            why = f"its certificate is not accepted: {error.verify_message}"
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
        except EOFError:
            why = "it closed the connection without an answer"
        except ProtocolError as error:
            why = f"its answer is not understood: {error.detail}"
        except asyncio.CancelledError:
            self._receiver.close()
            raise
        self._receiver.close()
        return Answer(False, True, 0, why)

    # --- what is said -------------------------------------------------------------------------------------

    def _drop(self, spans: int, why: str) -> None:
        self.dropped += spans
        self._lost += spans
        self._say(why)

    def _say(self, why: str) -> None:
        """The first trouble is told, and the end of it."""
        if self._is_failing:
            return
        self._is_failing = True
        now = monotonic()
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY_S
            self._is_said = True
            url = self._receiver.endpoint.url
            log.warning("traces can't be sent to %s: %s; traffic goes on, and spans that are lost are counted", url, why)

    def _works(self) -> None:
        if not self._is_failing:
            return
        self._is_failing = False
        if self._is_said:
            self._is_said = False
            lost, self._lost = self._lost, 0
            log.warning("traces are sent to %s again; %d spans were lost", self._receiver.endpoint.url, lost)
