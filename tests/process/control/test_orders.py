"""Control's side of an order: it goes to the supervisor, and whoever waits gets a verdict whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from balance.admin.supervisor_orders import Order, OrderResult, Reload, Restart
from balance.process.control import orders as module
from balance.process.control.orders import SupervisorOrders
from balance.process.ipc.messages import ORDER
from balance.process.ipc.pipe import pipe_pair


def test_every_order_gets_its_own_result_in_any_order() -> None:
    async def act() -> list[OrderResult]:
        mine, theirs = pipe_pair()
        supervisor_orders = SupervisorOrders(mine)
        orders: list[Order] = [Reload(), Restart(), Reload(text="x" * 100_000)]
        waiting = [asyncio.ensure_future(supervisor_orders.submit_order(order)) for order in orders]
        await asyncio.sleep(0)
        said = theirs.receive()[0]
        assert [message.kind for message in said] == [ORDER] * 3
        assert [message.data[1] for message in said] == orders
        for message in reversed(said):
            number, order = message.data
            supervisor_orders.on_result(number, OrderResult(True, 1, summary=type(order).__name__ + str(number)))
        return await asyncio.gather(*waiting)

    assert [order_result.summary for order_result in asyncio.run(act())] == ["Reload1", "Restart2", "Reload3"]


def test_a_supervisor_that_takes_nothing_is_said_at_once() -> None:
    async def act() -> OrderResult:
        mine, theirs = pipe_pair()
        theirs.close()
        return await SupervisorOrders(mine).submit_order(Reload())

    order_result = asyncio.run(act())
    assert (order_result.is_done, order_result.problems) == (False, ("the supervisor takes no orders",))


def test_a_supervisor_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESULT_TIMEOUT_S", 0.01)

    async def act() -> OrderResult:
        mine, _theirs = pipe_pair()
        orders = SupervisorOrders(mine)
        order_result = await orders.submit_order(Reload())
        orders.on_result(1, OrderResult(True, 2))  # too late: nobody waits
        return order_result

    order_result = asyncio.run(act())
    assert not order_result.is_done
    assert order_result.problems == ("no verdict within 0.01s; the log says what became of it",)


def test_who_hangs_up_while_it_waits_is_forgotten() -> None:
    async def act() -> None:
        mine, _theirs = pipe_pair()
        orders = SupervisorOrders(mine)
        waiting = asyncio.ensure_future(orders.submit_order(Reload()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        orders.on_result(1, OrderResult(True, 2))
        assert orders._waiting == {}

    asyncio.run(act())
