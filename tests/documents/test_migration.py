"""Each set-up of docs/MIGRATION.md behaves alike in nginx, HAProxy, Caddy and Balance, as the commands below it show.

Configurations and commands are those of the page itself; `console nginx` is for the proxies that are named alone.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest
import yaml
from document_blocks import Block, blocks, text_of
from proxy_processes import Backends, Proxy
from server_processes import ServerProcesses, program

PAGE = "docs/MIGRATION.md"
LANGUAGES = {"nginx": "nginx", "haproxy": "haproxy", "caddyfile": "caddy", "yaml": "balance"}
SECTIONS = {heading: list(group) for heading, group in groupby(blocks(PAGE), lambda block: block.heading)}
FRAMES = {block.language: block.text for block in blocks(PAGE) if block.names == ("frame",)}
PAIRS = {heading: group for heading, group in SECTIONS.items() if not any(block.names == ("frame",) for block in group)}
# Those without a half in open-source nginx, and those that Caddy does by plugins alone or by hand.
WITHOUT_NGINX = {"Sessions by a cookie of the balancer's"}
WITHOUT_CADDY = {"Rate limits", "TCP", "The PROXY protocol, in", "The PROXY protocol, out", "Taking a server out"}
WITHOUT_TRAEFIK = {"Sessions by a cookie of the application's", "Taking a server out"}


def configuration(heading: str, proxy: str) -> str | None:
    for block in PAIRS[heading]:
        if LANGUAGES.get(block.language) == proxy and not block.names:
            return block.text
    return None


def commands(heading: str, proxy: str) -> Iterator[tuple[str, str]]:
    for block in PAIRS[heading]:
        if block.language == "console" and (not block.names or proxy in block.names):
            yield from block.commands


CASES = [
    pytest.param(heading, proxy, id=f"{heading.replace(' ', '-')}-{proxy}")
    for heading in PAIRS
    for proxy in LANGUAGES.values()
    if configuration(heading, proxy) is not None
]


def test_every_set_up_is_there_for_every_proxy_that_has_it() -> None:
    assert len(PAIRS) >= 14
    for heading in PAIRS:
        assert configuration(heading, "balance"), heading
        assert configuration(heading, "haproxy"), heading
        assert (configuration(heading, "nginx") is None) == (heading in WITHOUT_NGINX), heading
        assert (configuration(heading, "caddy") is None) == (heading in WITHOUT_CADDY), heading
        traefik = [block for block in PAIRS[heading] if block.names in {("traefik",), ("traefik-static",)}]
        assert len(traefik) == (heading not in WITHOUT_TRAEFIK), heading
        assert any(commands(heading, "balance")), heading


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcesses]:
    folder = tmp_path_factory.mktemp("migration")
    folder.chmod(0o755)
    processes = ServerProcesses(folder)
    yield processes
    processes.stop()


@pytest.fixture(scope="module")
def backends(processes: ServerProcesses) -> Backends:
    return Backends(processes)


@pytest.mark.long
@pytest.mark.parametrize(("heading", "proxy"), CASES)
def test_each_proxy_does_what_the_page_shows(
    heading: str, proxy: str, processes: ServerProcesses, backends: Backends, tmp_path: Path
) -> None:
    for command in ("curl", "jq", "nc"):
        program(command)
    text = configuration(heading, proxy)
    assert text is not None
    running = Proxy(proxy, text, FRAMES.get(proxy, ""), tmp_path / proxy, backends, processes)
    for command, printed in commands(heading, proxy):
        assert running.run(command) == printed, f"{proxy}: {command}"


@pytest.mark.parametrize("block", [block for block in blocks(PAGE) if "traefik" in block.names], ids=str)
def test_what_routers_of_traefik_name_is_there(block: Block) -> None:
    document = yaml.safe_load(block.text)
    for protocol in ("http", "tcp"):
        part = document.get(protocol, {})
        for router in part.get("routers", {}).values():
            assert router["service"] in part["services"]
            assert set(router.get("middlewares", ())) <= set(part.get("middlewares", ()))
            assert re.fullmatch(r"(\w+\(`[^`]*`\)( \|\| | && )?)+", router["rule"])
        for service in part.get("services", {}).values():
            transport = service["loadBalancer"].get("serversTransport")
            assert transport is None or transport in part["serversTransports"]


@cache
def rows_of_reference() -> dict[tuple[str, str], str]:
    """The default of each key, by the last word of its section's name and its own."""
    found = {}
    for section in text_of("docs/CONFIGURATION.md").split("\n## "):
        title = section.partition("\n")[0]
        for key, default in re.findall(r"(?m)^\| `(\w+)` \| ([^|]*) \|", section):
            for word in re.split(r"[ .]", title):
                found.setdefault((word, key), default.strip().strip("`"))
    return found


def test_every_key_that_is_named_is_one() -> None:
    tables = text_of(PAGE).split("## Their words in ours")[1]
    top = {key for (section, key) in rows_of_reference() if section == "The"}
    rows = re.findall(r"(?m)^\| (?!---|directive|keyword|option)(.+?) \| (.+) \|$", tables)
    assert len(rows) > 110
    for theirs, ours in rows:
        keys = [key for key in re.findall(r"`([a-z_.]+)`", ours) if ("." in key and key != "tls.backend") or key in top]
        assert keys, theirs
        assert [key for key in keys if "." in key and tuple(key.split(".")[-2:]) not in rows_of_reference()] == [], theirs


def test_defaults_are_those_of_the_schema() -> None:
    section = text_of(PAGE).split("## What differs in meaning")[1].partition("\n## ")[0]
    told = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`: `([^`]+)`", section)
    assert len(told) > 30
    known = {key: rows_of_reference().get((key.split(".")[-2], key.split(".")[-1])) for key, _ in told}
    assert {key: value for key, value in told if known[key] != value} == {}


def test_caddys_files_are_caddyfiles(tmp_path: Path) -> None:
    caddy = shutil.which("caddy") or shutil.which("caddy", path=str(Path(sys.executable).parent))
    if caddy is None:
        pytest.skip("caddy is not installed")
    text = "\n".join(block.text for block in blocks(PAGE) if block.language == "caddyfile" and block.text.startswith("www"))
    (tmp_path / "Caddyfile").write_text(text)
    done = subprocess.run([caddy, "adapt", "--config", tmp_path / "Caddyfile"], capture_output=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["apps"]["http"]
