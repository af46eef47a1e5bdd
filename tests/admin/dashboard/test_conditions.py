"""Two operators at once: who comes second with what he saw before is told so, and nothing is done."""

from __future__ import annotations

import asyncio
import json

import pytest
from asgi_client import Answer, ask
from fake_instance import FakeInstance

from balance.admin.application import admin_app


def patch(app: object, order: dict[str, object], tag: str) -> Answer:
    return ask(app, "/backends/app/a1", "PATCH", json.dumps(order).encode(), **{"If-Match": tag})  # type: ignore[arg-type]


def test_the_second_of_two_operators_is_told() -> None:
    fake_instance = FakeInstance()
    app = admin_app(fake_instance.view, is_local_only=True)
    seen = ask(app, "/dashboard/state").json["backends"]["app/a1"]["version"]
    assert ask(app, "/backends/app/a1").headers["etag"] == f'"{seen}"'
    assert patch(app, {"weight": 7}, f'"{seen}"').status == 200
    second = patch(app, {"weight": 3}, f'"{seen}"')
    assert second.status == 409
    assert "somebody was faster: backend app/a1 has changed since you looked (weight 7, unchecked)" in second.json["error"]
    assert fake_instance.view.config.pools[0].backends[0].weight == 7
    assert patch(app, {"weight": 3}, second.headers["etag"]).status == 200


def test_a_drain_by_somebody_else_counts_and_health_does_not() -> None:
    fake_instance = FakeInstance()
    app = admin_app(fake_instance.view, is_local_only=True)
    tag = ask(app, "/backends/app/a1").headers["etag"]
    assert ask(app, "/backends/app/a1", "PATCH", b'{"state": "drain"}').status == 200
    assert patch(app, {"weight": 3}, tag).status == 409


@pytest.mark.parametrize(
    ("tag", "status"), [("*", 200), ('W/"x", *', 200), ('"x"', 409), ("", 409), (",,,", 409), ('"' * 100, 409)]
)
def test_tags(tag: str, status: int) -> None:
    assert patch(admin_app(FakeInstance().view, is_local_only=True), {"state": "drain"}, tag).status == status


def test_two_reloads_for_one_generation() -> None:
    fake_instance = FakeInstance()
    app = admin_app(fake_instance.view, is_local_only=True)
    fake_instance.source = fake_instance.source.with_text(fake_instance.source.text.replace("weight: 2", "weight: 3"))
    assert ask(app, "/reload", "POST", **{"If-Match": '"1"'}).status == 200
    assert ask(app, "/reload", "POST", **{"If-Match": '"1"'}).status == 409


def test_two_at_the_same_moment_are_one_and_one() -> None:
    fake_instance = FakeInstance()
    obey = fake_instance.view.submit_order

    async def slowly(order):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.01)
        return await obey(order)

    fake_instance.view.submit_order = slowly
    app = admin_app(fake_instance.view, is_local_only=True)
    tag = ask(app, "/backends/app/a1").headers["etag"]

    async def order(weight: int) -> int:
        sent = []

        async def receive() -> object:
            return {"type": "http.request", "body": json.dumps({"weight": weight}).encode(), "more_body": False}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": "PATCH", "path": "/backends/app/a1", "raw_path": b"",
            "query_string": b"", "client": ("127.0.0.1", 1), "headers": [(b"if-match", tag.encode())],
        }  # fmt: skip
        await app(scope, receive, send)  # type: ignore[arg-type]
        status = sent[0]["status"]
        assert isinstance(status, int)
        return status

    async def both() -> list[int]:
        return list(await asyncio.gather(order(5), order(6)))

    assert sorted(asyncio.run(both())) == [200, 409]


def test_the_condition_is_published() -> None:
    document = ask(admin_app(FakeInstance().view, is_local_only=True), "/openapi.json").json
    (field,) = [each for each in document["paths"]["/backends/{name}"]["patch"]["parameters"] if each["in"] == "header"]
    assert (field["name"], "409" in field["description"]) == ("If-Match", True)
