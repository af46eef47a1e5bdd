"""The page's modules that know no document, each alone in the browser: tables of what goes in and what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium_running

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("dashboard")]

ASSETS = Path(__file__).resolve().parents[2] / "balance/admin/dashboard/assets"
SITE = "http://assets.test/"
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with chromium_running() as browser:
        yield browser


@pytest.fixture(scope="module")
def call(chromium: Any) -> Iterator[Call]:
    """Calls a function of a module: call("words/format.js", "rate", 0.3)."""
    page = chromium.new_page()

    def serve(route: Any) -> None:
        path = route.request.url.removeprefix(SITE)
        if path:
            route.fulfill(body=(ASSETS / path).read_text(), content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    page.route(f"{SITE}**", serve)
    page.goto(SITE)

    def called(module: str, function: str, *arguments: Any) -> Any:
        script = "async ([path, name, given]) => (await import(path))[name](...given)"
        return page.evaluate(script, [f"/{module}", function, list(arguments)])

    called.page = page  # type: ignore[attr-defined]
    yield called
    page.close()


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        ("rate", None, "–"),
        ("rate", 0, "0"),
        ("rate", 0.01, "<0.1"),
        ("rate", 0.25, "0.3"),
        ("rate", 12, "12"),
        ("rate", 99.96, "100"),
        ("rate", 1234.5, "1,235"),
        ("count", 1234567, "1,234,567"),
        ("count", 0, "0"),
        ("duration", None, "–"),
        ("duration", 0, "0 ms"),
        ("duration", 0.00042, "0.4 ms"),
        ("duration", 0.0124, "12 ms"),
        ("duration", 1.26, "1.3 s"),
        ("duration", 59.7, "1m0s"),
        ("duration", 125, "2m5s"),
        ("duration", 3 * 3600 + 240, "3h4m"),
        ("duration", 86400 * 5 + 7200, "5d2h"),
        ("ago", None, "never"),
        ("ago", -3, "now"),  # clocks differ
        ("ago", 7, "6 s ago"),
        ("ago", 59, "50 s ago"),
        ("ago", 3599, "59 min ago"),
        ("percent", 0.333, "33%"),
        ("percent", 0.0123, "1.2%"),
        ("percent", 0, "0%"),
        ("bytes", 999, "999 B"),
        ("bytes", 45346816, "45 MB"),
    ],
)
def test_figures_are_written_for_people(call: Call, function: str, value: Any, text: str) -> None:
    assert call("words/format.js", function, value) == text


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396 appendix A, as far as documents are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"constructor": {"x": 1}}, {"constructor": {"x": 1}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_says(call: Call, target: Any, patch: Any, result: Any) -> None:
    assert call("connection/merge_patch.js", "mergePatch", target, patch) == result


def test_no_key_of_a_patch_reaches_the_prototype_of_all_objects(call: Call) -> None:
    script = """async () => {
      const { mergePatch } = await import("/connection/merge_patch.js");
      const merged = mergePatch({}, JSON.parse('{"__proto__": {"stolen": true}, "a": {"__proto__": {"stolen": true}}}'));
      return [{}.stolen === undefined, Object.keys(merged), Object.keys(merged.a)];
    }"""
    assert call.page.evaluate(script) == [True, ["__proto__", "a"], ["__proto__"]]  # type: ignore[attr-defined]


READ = """async ([pieces]) => {
  const { readEvents } = await import("/connection/event_stream.js");
  const events = [];
  for (const chunks of pieces) {
    const body = new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new Uint8Array(chunk));
        controller.close();
      },
    });
    const found = [];
    await readEvents(new Response(body), (name, data) => found.push([name, data]));
    events.push(JSON.stringify(found));
  }
  return [...new Set(events)];
}"""


def test_events_are_the_same_wherever_the_stream_is_cut(call: Call) -> None:
    text = (
        ': hello\n\nid: 1\nevent: state\ndata: {"a": "ä"}\n\ndata: x\r\ndata:  y\r\n\r\n'
        ": still here\n\nevent: delta\ndata: 1\n\ndata: no end"
    )
    data = text.encode()
    cuts = [[list(data[:cut]), list(data[cut:])] for cut in range(len(data) + 1)]
    single = [[[byte] for byte in data]]
    found = call.page.evaluate(READ, [cuts + single])  # type: ignore[attr-defined]
    assert [json.loads(each) for each in found] == [[["state", '{"a": "ä"}'], ["message", "x\n y"], ["delta", "1"]]]


def test_a_ring_forgets_the_oldest_and_keeps_gaps_and_order(call: Call) -> None:
    script = """async () => {
      const { Ring } = await import("/charts/ring.js");
      const ring = new Ring(1, 3);
      for (const [time, value] of [[1, 10], [2, 20], [2, 21], [1, 9], [3, undefined], [4, 40]]) ring.push(time, [value]);
      return ring.columns();
    }"""
    assert call.page.evaluate(script) == [[2, 3, 4], [20, None, 40]]  # type: ignore[attr-defined]


def document(backends: int) -> dict[str, Any]:
    """One listener, one route, one pool; backend n has n requests per second."""
    names = [f"b{number}" for number in range(backends)]
    return {
        "listeners": {"main": {"order": 0, "routes": 1, "rate": float(sum(range(backends)))}},
        "routes": {
            "main/all": {"listener": "main", "name": "all", "order": 1, "pools": "web", "rate": float(sum(range(backends)))}
        },
        "pools": {"web": {"order": 0, "rate": float(sum(range(backends))), "ready": 1}},
        "backends": {
            f"web/{name}": {"order": order, "pool": "web", "name": name, "rate": float(order), "out": order == 0}
            for order, name in enumerate(names)
        },
        "flows": {"main/all": {f"web/{name}": float(order) for order, name in enumerate(names) if order} | {"-": 2.0}},
    }


def test_the_picture_has_widths_by_rate_and_only_the_busiest(call: Call) -> None:
    few = call("traffic/layout.js", "layout", document(3))
    assert [node["label"] for node in few["nodes"]] == ["main", "all", "web", "b0", "b1", "b2"]
    widths = {ribbon["key"].split("\n")[-1]: ribbon["width"] for ribbon in few["ribbons"]}
    assert widths["3 web/b2"] == pytest.approx(2 * widths["3 web/b1"])
    assert {ribbon["isOut"] for ribbon in few["ribbons"] if "b0" in ribbon["key"]} == {True}
    many = call("traffic/layout.js", "layout", document(200))
    shown = [node["label"] for node in many["nodes"] if node["column"] == 3]
    assert shown == [*(f"b{number}" for number in range(193, 200)), "193 others, 1 out"]
    assert len(many["ribbons"]) == 1 + 1 + 8


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        ([], {"a": True}, ""),  # the first reading is no news
        ([["a", False]], {"a": True}, "Backend a is out."),
        ([["a", True], ["b", False]], {"a": False, "b": True}, "Backend b is out. Backend a is back."),
        ([[str(n), False] for n in range(5)], {str(n): True for n in range(5)}, "5 backends are out."),
    ],
)
def test_what_is_announced(call: Call, before: list[Any], now: dict[str, bool], text: str) -> None:
    script = """async ([before, backends]) =>
      (await import("/words/changes.js")).stateChanges(new Map(before), backends)"""
    backends = {name: {"out": out} for name, out in now.items()}
    assert call.page.evaluate(script, [before, backends]) == text  # type: ignore[attr-defined]
