"""Takes the pictures: a demo with traffic, one backend that fails its checks, in light, in dark and on a phone.

Run by `cmd/screenshots` in the environment of the tests, which has playwright.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
TRAFFIC_S = 40.0  # so that the charts have something to show
REQUESTS_A_SECOND = 60
LARGEST = 200_000  # bytes: they are in every clone
SHOTS = {  # name: (width, height, colours, element that is scrolled to)
    "dashboard-light": (1280, 900, "light", "overview"),
    "dashboard-dark": (1280, 900, "dark", "traffic"),
    "dashboard-phone": (390, 844, "dark", "backends"),
}


def main() -> int:
    """0 when all were taken and are small enough."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("there is no chromium; `python3 cmd/check` installs it as root, or: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "balance", "demo", "--port", "0", "--admin-port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            urls = read_urls(demo)
            threading.Thread(target=send_requests, args=[urls["balancer"]], daemon=True).start()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page()
                page.goto(urls["dashboard"])
                time.sleep(TRAFFIC_S * 2 / 3)
                urllib.request.urlopen(urls["blue"] + "/fail", b"").close()
                time.sleep(TRAFFIC_S / 3)
                sizes = {name: take(page, name) for name in SHOTS}
                browser.close()
        finally:
            demo.terminate()
    for name, size in sizes.items():
        print(f"docs/screenshots/{name}.png  {size:,} bytes{'  TOO LARGE' if size > LARGEST else ''}")
    return 1 if max(sizes.values()) > LARGEST else 0


def read_urls(demo: subprocess.Popen[str]) -> dict[str, str]:
    """The addresses that the demo prints, by name."""
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    return {name: url.rstrip("/") for name, url in re.findall(r"(?m)^  (\w+) +(http://\S+)", said)}


def send_requests(url: str) -> None:
    """Requests at an even rate, some of them to a page that is not there, until the process ends."""
    for number in range(sys.maxsize):
        path = "/lb" if number % 5 == 0 else "/nowhere" if number % 41 == 0 else "/slow?ms=12" if number % 7 == 0 else "/"
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url + path, timeout=5).read()
        time.sleep(1 / REQUESTS_A_SECOND)


def take(page: Page, name: str) -> int:
    """One picture; its size in bytes."""
    width, height, colours, element = SHOTS[name]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=colours, reduced_motion="reduce")
    page.evaluate("(id) => document.getElementById(id).scrollIntoView()", element)
    if element == "overview":
        page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(2500)  # two updates
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file)
    return file.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
