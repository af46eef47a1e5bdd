"""Orders of the live view are asked for beside the drawing, and what came of them is told."""

from __future__ import annotations

import time

from state_server import backend, serving_state, state

from balance.cli.top.orders import Orders
from balance.cli.top.view import Question, View
from balance.client import Client


def settled(orders: Orders, view: View) -> None:
    deadline = time.monotonic() + 20.0
    while not orders.apply(view):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_question_gets_its_preview_and_an_order_its_outcome() -> None:
    with serving_state(state(backend(1), backend(2))) as server:
        orders, view = Orders(Client(server.address)), View()
        assert not orders.apply(view)
        view.question = question = Question("app/b1", "app/b1", "drain", "Drain", "v1")
        orders.preview(question)
        settled(orders, view)
        assert question.preview == server.preview and view.question is question
        orders.order(question)
        settled(orders, view)
        assert (view.question, view.message) == (None, "app/b1 is draining")
        view.question = late = Question("app/b2", "app/b2", "drain", "Drain", "old")
        orders.order(late)
        settled(orders, view)
        assert view.message == "app/b2 is left as it is: somebody was faster: it is drained"
        server.stop()
        view.question = question
        orders.preview(question)
        settled(orders, view)
        assert view.question is None and "nobody answers" in view.message


def test_an_answer_to_a_question_that_was_taken_back_is_not_told() -> None:
    with serving_state(state(backend(1))) as server:
        orders, view = Orders(Client(server.address)), View(message="something else")
        orders.order(Question("app/b1", "app/b1", "drain", "Drain", "old"))
        settled(orders, view)
        assert view.message == "something else"
