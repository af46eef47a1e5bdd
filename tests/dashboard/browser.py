"""A real Chromium, headless, and a page of the dashboard in it that remembers every complaint of the browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Milliseconds; a bound for the worst machine; nothing waits that long when all is well.
PATIENCE_MS = 20_000
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# As root, as in a container, Chromium has no sandbox; the pages are our own. Small /dev/shm, as in containers, kills tabs.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
WIDE = {"width": 1400, "height": 900}
COMPLAIN = """
window.complaints = [];
document.addEventListener('securitypolicyviolation', (event) =>
  complaints.push(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""


def find_chromium() -> str:
    """Its path. Without it, or what drives it, the test is skipped; in CI, which has installed both, it fails."""
    missing = ""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        missing = "playwright is not installed; pip install -e '.[dev]'"
    path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if path is None:
        missing = "Chromium is not installed; python3 cmd/check installs it through apt as root"
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    assert path is not None
    return path


@contextlib.contextmanager
def chromium_running() -> Iterator[Any]:
    """The browser, for a module of tests: while playwright runs, nothing else in this process can start an event loop."""
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Tab:
    """One tab."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(COMPLAIN)
        page.on("console", lambda message: self._note(message) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(f"page: {error}"))
        page.goto(url)

    def _note(self, message: Any) -> None:
        self.complaints.append(f"console: {message.text} {message.location.get('url', '')}")

    def all_complaints(self) -> list[str]:
        """What console, page and policy have said."""
        return self.complaints + list(self.page.evaluate("complaints"))

    def wait(self, condition: str, argument: Any = None) -> None:
        """Until JavaScript says so. (wait_for_function needs eval, which the page's policy forbids.)"""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self._holds(condition, argument):
            assert time.monotonic() < deadline, f"{condition} {argument or ''}\n{self.text('body')[:2000]}\n{self.complaints}"
            self.page.wait_for_timeout(50)

    def _holds(self, condition: str, argument: Any) -> bool:
        try:
            return bool(self.page.evaluate(condition, argument))
        except Exception as error:  # playwright's, which is imported only where it is installed
            if "context was destroyed" in str(error):  # the page is being loaded anew
                return False
            raise

    def live(self) -> Tab:
        """Once it shows figures."""
        self.wait(
            "document.getElementById('contact').textContent.includes('live') && document.querySelector('.backends tbody tr')"
        )
        return self

    @contextlib.contextmanager
    def looked_at(self, width: int = WIDE["width"], scheme: str = "light") -> Iterator[None]:
        """On a screen of that width, by day or by night."""
        self._look(width, scheme)
        yield
        self._look(WIDE["width"], "light")

    def _look(self, width: int, scheme: str) -> None:
        self.page.set_viewport_size({"width": width, "height": WIDE["height"]})
        self.page.emulate_media(color_scheme=scheme)
        self.wait("(width) => document.documentElement.clientWidth === width", width)

    def text(self, selector: str) -> str:
        return str(self.page.text_content(selector) or "")

    def wait_text(self, selector: str, part: str) -> None:
        """Until the element has that in its text."""
        self.wait("([css, part]) => document.querySelector(css)?.textContent.includes(part)", [selector, part])

    def row(self, name: str) -> Any:
        """The row of a backend."""
        return self.page.locator(".backends tbody tr").filter(has=self.page.get_by_role("rowheader").filter(has_text=name))

    def button(self, label: str) -> Any:
        """The button of exactly that name."""
        return self.page.get_by_role("button", name=label, exact=True)

    def wait_row(self, name: str, part: str) -> None:
        """Until the row of a backend has that in its text."""
        self.wait(
            "([name, part]) => [...document.querySelectorAll('.backends tbody tr')]"
            ".some((row) => row.firstElementChild.textContent.includes(name) && row.textContent.includes(part))",
            [name, part],
        )


OpenTab = Callable[..., Tab]
