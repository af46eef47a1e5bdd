"""The dashboard in a real browser, before a real instance with real backends."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import WIDE, OpenTab, Tab, chromium_running
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(240), pytest.mark.xdist_group("dashboard")]  # one browser for all

# Names of backends are an operator's, or a discovery's: none of them may become markup, a property of objects, or another path.
MARKUP = '"><u>blue'
ODD = "a%2Fb?x#y"
MOST_STREAMS = 32
NAMES = ("red", MARKUP, ODD, "__proto__")
TOKEN, READER = "a-token-to-write-0123456789", "a-token-to-read-0123456789"


def configuration(backends: dict[str, str], admin: str = "127.0.0.1:0", more: str = "") -> str:
    rows = "\n".join(f"  - {{name: '{name}', address: '{address}'}}" for name, address in backends.items())
    return f"""\
mode: http
listen: "127.0.0.1:0"
workers: 1
backends:
{rows}
health_check: {{enabled: true, type: tcp, interval: 500ms, timeout: 400ms, unhealthy_threshold: 2}}
circuit_breaker: {{enabled: true}}
shutdown: {{delay: 0s}}
admin:
  listen: "{admin}"
{more}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with chromium_running() as browser:
        yield browser


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A test's own, as a private window."""
    made = chromium.new_context(viewport=WIDE)
    yield made
    made.close()


@pytest.fixture
def open_tab(context: Any) -> OpenTab:
    """Opens a tab on the dashboard of an admin port."""

    def opened(admin_port: int) -> Tab:
        return Tab(context.new_page(), f"http://127.0.0.1:{admin_port}/")

    return opened


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, Origin]]:
    made = {name: Origin("o") for name in NAMES}
    yield made
    for origin in made.values():
        origin.stop()


@pytest.fixture(scope="module")
def instance(origins: dict[str, Origin], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    made = Instance(tmp_path_factory.mktemp("dashboard"), configuration({name: each.address for name, each in origins.items()}))
    yield made.ready()
    made.destroy()


@pytest.fixture(scope="module")
def tab(chromium: Any, instance: Instance) -> Iterator[Tab]:
    """A tab that most tests share, as a person would."""
    context = chromium.new_context(viewport=WIDE)
    yield Tab(context.new_page(), f"http://127.0.0.1:{instance.admin_port}/").live()
    context.close()


def test_it_loads_without_a_complaint_of_the_browser_and_shows_who_runs(instance: Instance, tab: Tab) -> None:
    assert tab.text("#version") == instance.ask("/version")[1]["version"]
    assert tab.text("#stage") == "● serving"
    assert "[CB: CLOSED]" in tab.row("red").text_content()
    assert tab.page.locator("#charts canvas").count() == 4
    assert tab.page.locator("svg.picture .node").count() == 3 + len(NAMES)
    assert tab.all_complaints() == []


def test_names_are_text_whatever_is_in_them(instance: Instance, tab: Tab) -> None:
    shown = [each.strip() for each in tab.page.locator(".backends tbody th .value").all_text_contents()]
    assert shown == list(NAMES)
    assert tab.page.locator("main u").count() == 0
    tab.button("Drain backend default/" + ODD).click()
    tab.page.locator("#confirmation .confirm").click()
    tab.wait_row(ODD, "draining")
    tab.button("Enable backend default/" + ODD).click()
    tab.page.locator("#confirmation .confirm").click()
    tab.wait_row(ODD, "healthy")


def test_requests_are_seen_within_two_seconds(instance: Instance, tab: Tab) -> None:
    taken = []
    for _ in range(3):
        tab.wait("document.querySelector('#tiles dd').textContent === '0'")
        began = time.monotonic()
        for _ in range(20):
            instance.get()
        tab.wait("document.querySelector('#tiles dd').textContent !== '0'")
        taken.append(time.monotonic() - began)
        if taken[-1] < 2:
            break
    assert min(taken) < 2, taken
    tab.wait_row("red", "now")  # its last hit


def test_updates_keep_focus_rows_and_the_number_of_elements(instance: Instance, tab: Tab) -> None:
    tab.button("Drain backend default/red").focus()
    tab.page.evaluate("window.row = document.querySelector('.backends tbody tr')")
    instance.get()
    tab.wait_row("red", "now")
    count = "document.querySelectorAll('body *').length"
    before = tab.page.evaluate(count)
    for _ in range(2):
        instance.get()
        tab.wait("(text) => document.querySelector('#tiles dd').textContent !== text", tab.text("#tiles dd"))
    assert tab.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Drain backend default/red"
    assert tab.page.evaluate("window.row.isConnected")
    assert tab.page.evaluate(count) <= before + 40  # events may come, at most as many as are kept


def test_a_backend_that_dies_is_seen_with_its_reason_and_comes_back(
    instance: Instance, origins: dict[str, Origin], tab: Tab
) -> None:
    port = origins["red"].server_address[1]
    origins["red"].stop()
    tab.wait_row("red", "unhealthy")
    said = tab.row("red").text_content()
    assert re.search(r"refused", said), said
    tab.wait("document.title.startsWith('✕ 1 out')")
    tab.wait_text("#announcement", "Backend default/red is out.")
    tab.page.select_option("#search-state", "out")
    assert tab.text("#found") == f"1 of {len(NAMES)} shown"
    tab.page.select_option("#search-state", "")
    origins["red"] = Origin("o", port)
    tab.wait_row("red", "● healthy")


def test_a_search_finds_by_name_address_and_state(instance: Instance, origins: dict[str, Origin], tab: Tab) -> None:
    for words, found in (("red", 1), ("healthy default", 4), (origins[ODD].address, 1), ("nobody", 0), ("", 4)):
        tab.page.fill("#search", words)
        assert tab.page.locator(".backends tbody tr:visible").count() == found, words


def test_draining_by_click_says_first_what_will_happen(instance: Instance, tab: Tab) -> None:
    tab.button("Drain backend default/red").click()
    tab.wait_text("#confirmation .says", "Nothing new goes to default/red")
    tab.page.locator("#confirmation .cancel").click()
    assert instance.ask("/backends/default/red")[1]["state"] == "healthy"
    tab.button("Drain backend default/red").click()
    tab.page.locator("#confirmation .confirm").click()
    tab.wait_row("red", "draining")
    assert instance.ask("/backends/default/red")[1]["state"] == "draining"
    tab.wait_text("#notice", "done")
    tab.button("Enable backend default/red").click()
    tab.page.locator("#confirmation .confirm").click()
    tab.wait_row("red", "healthy")


def test_weight_and_maintenance_are_in_the_same_dialog(instance: Instance, tab: Tab) -> None:
    tab.button("More changes of backend default/red").click()
    tab.page.get_by_label("Weight…").check()
    tab.page.get_by_label("Weight", exact=True).fill("7")
    tab.page.locator("#confirmation .confirm").click()
    tab.wait_row("red", "weight 7")
    tab.button("More changes of backend default/red").click()
    tab.page.get_by_label("Maintenance").check()
    tab.page.locator("#confirmation .confirm").click()
    tab.wait_row("red", "■ maintenance")
    tab.button("Enable backend default/red").click()
    tab.page.locator("#confirmation .confirm").click()
    tab.wait_row("red", "healthy")


def test_draining_by_keyboard_alone(instance: Instance, tab: Tab) -> None:
    tab.page.reload()
    tab.live()
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    press = tab.page.keyboard.press
    press("Tab")
    assert tab.page.evaluate(focused) == "Skip to the backends"
    press("Enter")
    for _ in range(40):
        press("Tab")
        if tab.page.evaluate(focused) == "Drain backend default/red":
            break
    outline = tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert (tab.page.evaluate(focused), outline) == ("Drain backend default/red", "solid")
    press("Enter")
    tab.wait("document.activeElement.classList.contains('confirm')")
    press("Escape")
    assert tab.page.evaluate(focused) == "Drain backend default/red"
    press("Enter")
    press("Enter")
    tab.wait_row("red", "draining")
    tab.wait("document.activeElement.getAttribute('aria-label') === 'Enable backend default/red'")
    press("Enter")
    press("Enter")
    tab.wait_row("red", "healthy")


def test_a_reload_that_fails_shows_file_and_line(instance: Instance, tab: Tab) -> None:
    good = instance.config.read_text()
    wrong = good.replace("workers: 1", "workers: lots")
    line = wrong[: wrong.index("workers:")].count("\n") + 1
    instance.config.write_text(wrong)
    try:
        tab.page.get_by_role("button", name="Reload…").click()
        tab.wait_text("#confirmation .refused", f"{instance.config.name}:{line}:")
        tab.page.locator("#confirmation .confirm").click()
        tab.wait("!document.querySelector('#confirmation .confirm').disabled")
        tab.wait_text("#reloads-table", f"{instance.config.name}:{line}:")
        tab.wait_text("#reloads-table", "✕ refused")
    finally:
        instance.config.write_text(good)
    tab.page.locator("#confirmation .cancel").click()


def test_eight_tabs_are_live_over_one_stream(instance: Instance, tab: Tab) -> None:
    others = [Tab(tab.page.context.new_page(), tab.page.url) for _ in range(7)]
    for other in others:
        other.live()
    assert instance.ask("/dashboard/state")[1]["control"]["streams"] == 1
    for _ in range(len(NAMES)):
        instance.get()
    for each in [*others, tab]:
        each.page.bring_to_front()  # a tab behind others draws nothing
        each.wait_row("red", "now")
        assert "live" in each.text("#contact")
    for other in others:
        other.page.close()


def test_without_a_shared_worker_it_asks_again_and_again_and_says_so(
    instance: Instance, context: Any, open_tab: OpenTab
) -> None:
    before = instance.ask("/dashboard/state")[1]["control"]["streams"]
    context.add_init_script("delete window.SharedWorker")
    tab = open_tab(instance.admin_port)
    tab.wait_text("#banner", "every two seconds")
    tab.wait("document.querySelectorAll('.backends tbody tr').length === 4")
    for _ in range(len(NAMES)):
        instance.get()
    tab.wait_row("red", "now")
    assert instance.ask("/dashboard/state")[1]["control"]["streams"] == before


def test_when_all_streams_are_taken_it_asks_again_and_again_and_says_so(instance: Instance, open_tab: OpenTab) -> None:
    with contextlib.ExitStack() as taken:
        for _ in range(MOST_STREAMS):
            connection = taken.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", instance.admin_port)))
            connection.request("GET", "/dashboard/stream")
        until(lambda: instance.ask("/dashboard/state")[1]["control"]["streams"] >= MOST_STREAMS, "that all are taken")
        tab = open_tab(instance.admin_port)
        tab.wait_text("#banner", "as many open dashboards as it takes")
        tab.wait("document.querySelectorAll('.backends tbody tr').length === 4")


@pytest.mark.parametrize("width", [390, 320])
def test_on_a_phone_rows_are_cards_and_nothing_scrolls_sideways(tab: Tab, width: int) -> None:
    with tab.looked_at(width=width):
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        row = tab.row("red")
        assert row.evaluate("(row) => getComputedStyle(row).display") == "block"
        assert row.evaluate("(row) => getComputedStyle(row.children[1], '::before').content") == '"State"'


STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.mark.parametrize(
    ("looks", "rules", "has_dialog"),
    [
        ({}, STANDARDS, True),
        ({"scheme": "dark"}, ["color-contrast"], True),
        ({"scheme": "dark", "width": 390}, STANDARDS, False),
    ],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_to_complain_of(tab: Tab, looks: dict[str, Any], rules: list[str], has_dialog: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = {"exclude": ["tbody tr:nth-child(n+3)"]}  # the others are like them
    with tab.looked_at(**looks):
        found = Axe().run(tab.page, context=page, options={"runOnly": rules}).response["violations"]
        if has_dialog:
            tab.button("More changes of backend default/red").click()
            found += Axe().run(tab.page, context="#confirmation", options={"runOnly": rules}).response["violations"]
            tab.page.keyboard.press("Escape")
    assert [(each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"]) for each in found] == []


def signed_in(tab: Tab, token: str) -> None:
    tab.page.get_by_label("Token").fill(token)
    tab.page.get_by_role("dialog").get_by_role("button", name="Sign in").click()


def test_a_token_is_asked_for_and_a_wrong_one_is_refused_in_words(
    origins: dict[str, Origin], tmp_path: Path, open_tab: OpenTab
) -> None:
    auth = f"  auth: {{tokens: [{{name: ops, token: '{TOKEN}'}}], read_only_tokens: [{{name: eyes, token: '{READER}'}}]}}\n"
    guarded = Instance(tmp_path, configuration({"red": origins["red"].address}, more=auth)).ready()
    try:
        tab = open_tab(guarded.admin_port)
        tab.wait("document.querySelector('#sign-in-dialog').open")
        signed_in(tab, "not-this-one")
        tab.wait_text("#token-refused", "Not signed in")
        assert tab.page.locator(".backends tbody tr").count() == 0
        signed_in(tab, READER)
        tab.live().wait_text("#access", "eyes, may look alone")
        assert not tab.button("Drain backend default/red").is_visible()
        tab.page.get_by_role("button", name="Sign out").click()
        tab.wait("document.querySelector('#sign-in-dialog').open")
        signed_in(tab, TOKEN)
        tab.live().wait_text("#access", "ops, may change")
        tab.page.reload()
        tab.live()  # the cookie is good for another page
        tab.button("Drain backend default/red").click()
        tab.page.locator("#confirmation .confirm").click()
        tab.wait_row("red", "draining")
        stored = tab.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
        assert TOKEN not in stored
    finally:
        guarded.destroy()


def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def test_lost_contact_is_told_with_its_time_and_ends_by_itself(
    origins: dict[str, Origin], tmp_path: Path, open_tab: OpenTab
) -> None:
    port = free_port()
    text = configuration({"red": origins["red"].address}, admin=f"127.0.0.1:{port}")
    first = Instance(tmp_path, text).ready()
    try:
        tab = open_tab(port).live()
    finally:
        first.destroy()
    tab.wait_text("#banner", "Contact lost since ")
    assert re.search(r"since \d\d:\d\d:\d\d", tab.text("#banner"))
    tab.wait_text("#contact", "no contact for")
    assert tab.row("red").count() == 1  # what was last known stays
    second = Instance(tmp_path, text).ready()
    try:
        tab.live()
        tab.wait("document.querySelector('#banner').hidden")
        tab.wait_text("#notice", "This is a new instance")
        until(lambda: second.ask("/dashboard/state")[1]["control"]["streams"] == 1, "its stream")
    finally:
        second.destroy()
