"""Real HTTP clients before Balance: they find what they find without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients import FINDERS, Site, comparable, report, sha, start_browser
from conftest import Before
from server_processes import ServerProcesses, start_nginx, start_uvicorn

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def sites(processes: ServerProcesses, before: Before) -> Iterator[tuple[Site, Site]]:
    """Without Balance and with it."""
    own = {"uvicorn": start_uvicorn(processes), "nginx": start_nginx(processes)}
    processes.wait_for(own)
    yield Site(own), Site(before(own).addresses)


@pytest.mark.parametrize("find", FINDERS)
def test_a_client_finds_the_same(sites: tuple[Site, Site], find: Callable[[Site], dict[str, Any]]) -> None:
    without, behind = (comparable(find(site), site) for site in sites)
    assert behind == without


FOUND = {
    "hello": "hello\n",
    "many": 40,
    "big": 5_120_000,
    "pieces": 50_000,
    "upload": ["POST", 1_000_000, sha(b"\7" * 1_000_000)],
    "form": True,
    "statuses": [204, 404, 500],
    "redirect": [True, "hello\n"],
    "cached": 200,
    "cookies": "a=1",  # the other one is HttpOnly
    "events": ["0", "1", "2"],
    "websocket": [[5, 200_000], 1000, True],
}


def test_a_browser_finds_all_that_a_page_asks_for(sites: tuple[Site, Site], processes: ServerProcesses) -> None:
    names = ("without", "behind")
    for name, site in zip(names, sites, strict=True):
        start_browser(processes, name, f"{site.app}/page#{name}")
    found = {name: report(sites[0], name) for name in names}
    assert found["behind"] == found["without"]
    assert found["behind"] == FOUND
