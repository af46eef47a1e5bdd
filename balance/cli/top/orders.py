"""Orders of the live view: each is asked for in a thread, so that the screen goes on while the instance decides."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from balance.cli.admin.refusals import hint
from balance.cli.admin.tables import state_text
from balance.cli.top.view import Question, View
from balance.client import BackendChange, Client, ClientError


class Orders:
    """What came of each is taken in by `apply`, in the thread that draws."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._done: queue.SimpleQueue[Callable[[View], None]] = queue.SimpleQueue()

    def preview(self, question: Question) -> None:
        """Ask what would happen."""

        def ask() -> Callable[[View], None]:
            try:
                change = self._client.change_backend(question.key, state=question.state, dry_run=True)
            except ClientError as error:
                return _refused(question, error)
            said = change.preview or question.outlook
            text = " ".join([said, *change.warnings])

            def show(view: View) -> None:
                question.preview = text

            return show

        self._begin(ask)

    def order(self, question: Question) -> None:
        """Do it, unless somebody was faster."""

        def ask() -> Callable[[View], None]:
            try:
                change = self._client.change_backend(question.key, state=question.state, if_version=question.version)
            except ClientError as error:
                return _refused(question, error)
            return lambda view: _end(view, question, _done_text(change))

        self._begin(ask)

    def apply(self, view: View) -> bool:
        """Take in what has come. Whether there was anything."""
        has_any = False
        while not self._done.empty():
            self._done.get()(view)
            has_any = True
        return has_any

    def _begin(self, ask: Callable[[], Callable[[View], None]]) -> None:
        threading.Thread(target=lambda: self._done.put(ask()), name="order", daemon=True).start()


def _end(view: View, question: Question, message: str) -> None:
    if view.question is question:
        view.question = None
        view.message = message


def _refused(question: Question, error: ClientError) -> Callable[[View], None]:
    return lambda view: _end(view, question, f"{question.name} is left as it is: {error}{hint(error)}")


def _done_text(change: BackendChange) -> str:
    return "; ".join([f"{change.full_name} is {state_text(change.state)}", *change.warnings])
