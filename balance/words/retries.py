"""Every `retry` word: what became of the last try that failed."""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.retry.decision import RetryOutcome


class RetryWord(NamedTuple):
    """`change` is what would have it tried again, or why it should not be."""

    meaning: str
    change: str


RETRIES: Final[dict[RetryOutcome, RetryWord]] = {
    RetryOutcome.MADE: RetryWord(
        "it was tried again", "nothing; many of them: `tries` in the line names the backends that fail"
    ),
    RetryOutcome.METHOD: RetryWord(
        "it is not idempotent, and the backend may have read it",
        "nothing: sending it twice could do its work twice. An `Idempotency-Key` from the client says that it may be",
    ),
    RetryOutcome.BODY: RetryWord(
        "its body is too long to be kept for another try",
        "`http.buffering.request` of the route: what is read whole may be sent again",
    ),
    RetryOutcome.BEGUN: RetryWord("the reply had begun", "nothing: the client has a part of it"),
    RetryOutcome.ATTEMPTS: RetryWord(
        "it was tried as often as it may be", "`retry.max_attempts`; several backends fail at once: `balance backends`"
    ),
    RetryOutcome.BUDGET: RetryWord(
        "the retry budget is spent",
        "the failures, which are many; `retry.budget` is there so that retries don't add to an overload",
    ),
    RetryOutcome.DEADLINE: RetryWord(
        "there was no time left of the request's own", "`timeouts.request`, or shorter waits for one try"
    ),
    RetryOutcome.NOBODY: RetryWord("no other backend is ready", "one more backend, or those that are out: `balance backends`"),
    RetryOutcome.OFF: RetryWord("the configuration does not ask for it", "`retry.on` and `retry.enabled`"),
    RetryOutcome.RETRY_AFTER: RetryWord(
        "the backend asks for time (`Retry-After`), or not to be asked again (`grpc-retry-pushback-ms`)",
        "nothing: the client is told when to come again",
    ),
}
