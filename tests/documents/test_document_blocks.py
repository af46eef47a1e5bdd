"""Every fenced block of README.md, docs/ and deployments/: configurations are valid, commands are run by a test or say why not.

YAML is validated here, also what is a part of a file: it is laid over the smallest one that is whole. Commands are run by the
test that `RUN_BY` names, or stand in `NOT_RUN` with the reason; a block that is in neither fails.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from document_blocks import ROOT, Block, blocks, pages, text_of, without_blocks

from balance.config import json_schema, load_text
from balance.errors import ConfigError

ALL = [block for page in pages() for block in blocks(page)]
LANGUAGES = {
    "",
    "sh",
    "console",
    "text",
    "yaml",
    "json",
    "ini",
    "nginx",
    "haproxy",
    "caddyfile",
    "python",
    "toml",
    "dockerfile",
}
COMMANDS = {"sh", "console"}
# The page, the language, and the test that runs each such block of it.
RUN_BY = {
    ("README.md", "sh"): "tests/documents/test_readme_commands.py",
    ("README.md", "console"): "tests/documents/test_readme_commands.py",
    ("README.md", "python"): "tests/balancing/test_readme_example.py",
    ("docs/BENCHMARKING.md", "console"): "tests/documents/test_page_commands.py",
    ("docs/BENCHMARKING.md", "sh"): "tests/documents/test_page_commands.py",
    ("docs/CLIENT.md", "python"): "tests/client/test_client_guide.py",
    ("docs/GRPC.md", "console"): "tests/documents/test_grpc_page.py",
    ("docs/MIGRATION.md", "console"): "tests/documents/test_migration.py",
    ("docs/OBSERVABILITY.md", "console"): "tests/documents/test_page_commands.py",
    ("docs/OPERATING.md", "console"): "tests/documents/test_page_commands.py",
    ("docs/ROUTING.md", "console"): "tests/test_routing_guide.py",
    ("docs/SECURITY.md", "console"): "tests/test_security_guide.py",
    ("docs/SECURITY.md", "sh"): "tests/documents/test_page_commands.py",
    ("docs/TROUBLESHOOTING.md", "sh"): "tests/process/test_symptom_commands.py",
    ("docs/TUTORIAL.md", "console"): "tests/documents/test_tutorial.py",
    ("deployments/monitoring/README.md", "sh"): "tests/documents/test_page_commands.py",
}
# The page and the first line of a block whose commands no test runs, with the reason.
NOT_RUN = {
    ("docs/DEPLOYMENT.md", "python3 -m venv /opt/balance && /opt/balance/bin/pip install ."): "needs root and systemd",
    ("docs/DEPLOYMENT.md", "install -m 644 deployments/systemd/balance.logrotate /etc/logrotate.d/balance"): "writes to /etc",
    ("docs/DEPLOYMENT.md", "install -m 600 /dev/null /etc/balance/secrets.env"): "needs root and systemd",
    (
        "docs/DEPLOYMENT.md",
        "/opt/balance/bin/pip install --upgrade .",
    ): "changes what is installed; tests/process/test_upgrade_under_load.py upgrades",
    ("docs/DEPLOYMENT.md", "cd deployments/docker"): "needs Docker; tests/deployments/test_compose.py starts the same services",
    (
        "docs/DEPLOYMENT.md",
        'docker build -t balance --build-arg VERSION=1.4.0 --build-arg GIT_COMMIT="$(git rev-parse HEAD)" '
        '--build-arg BUILD_TIME="$(date -u +%FT%TZ)" .',
    ): "needs Docker; tests/deployments/test_image.py carries out the same steps",
    (
        "docs/DEPLOYMENT.md",
        'kubectl create secret generic balance-admin --from-literal=admin-token="$(openssl rand -hex 24)"',
    ): "needs a cluster",
}
# What is the configuration of something else has its name behind the language, and its test here.
OF_OTHERS = {
    "traefik": "tests/documents/test_migration.py",
    "traefik-static": "tests/documents/test_migration.py",
    "kubernetes": "tests/documents/test_deployment_page.py",
    "prometheus": "tests/documents/test_tutorial.py",
    "keda": "tests/admin/autoscaling/test_autoscaler_endpoints.py",
    "rbac": "tests/process/control/autoscaling/test_kubernetes_driver.py",
}


def pieces(text: str) -> list[str]:
    """The keys at the top of a file."""
    return [key.value for key, _ in yaml.compose(text).value]


def of(language: str) -> list[Block]:
    return [block for block in ALL if block.language == language]


def test_every_block_says_in_what_language_it_is() -> None:
    assert [str(block) for block in ALL if not block.language] == []
    assert {block.language for block in ALL} <= LANGUAGES


@pytest.mark.parametrize("block", [block for block in of("yaml") if not set(block.names) & set(OF_OTHERS)], ids=str)
def test_every_configuration_is_valid(block: Block, tmp_path: Path) -> None:
    keys = set(pieces(block.text))
    text = block.text
    if not {"listen", "listeners"} & keys:
        text += '\nlisten: "127.0.0.1:0"\n'
    if not {"backends", "pools"} & keys:
        text += "\nbackends: [{address: '127.0.0.1:9'}]\n"
    load_text(lent(text, tmp_path), str(tmp_path / "balance.yaml"))


def lent(text: str, folder: Path) -> str:
    """The text with other files in the place of those that it names: a certificate, its key, or a token."""
    certificates = ROOT / "deployments" / "examples" / "certificates"

    def lend(match: re.Match[str]) -> str:
        key = match[1]
        source = certificates / ("example.key" if key == "key_file" else "example.crt")
        (folder / key).write_bytes(b"a-token-of-32-bytes-for-an-example" if "token" in key else source.read_bytes())
        return f"{key}: {folder / key}"

    return re.sub(r'\b(\w+_file): ("[^"]*"|[^\s,}\]]+)', lend, text)


def test_settings_within_a_line_have_keys_and_values_that_there_are() -> None:
    """As `tls: {redirect_http: true}` in a sentence; whether it is whole by itself is another question."""
    known = set(json_schema()["properties"])
    found = [
        (page, text)
        for page in pages()
        for text in re.findall(r"`(\w+: (?:\{[^`]*\}|\[[^`]*\]))`", without_blocks(text_of(page)))
        if text.partition(":")[0] in known and "..." not in text and not re.search(r"\b[A-Z]{3,}\b", text)
    ]
    assert len(found) >= 5
    for page, text in found:
        lines = {"listen": 'listen: ":0"', "backends": "backends: [{address: 'h:1'}]", text.partition(":")[0]: text}
        try:
            load_text("\n".join(lines.values()), page, {})
        except ConfigError as error:
            assert not re.search("unknown key|is not one of|expected|is not a", str(error)), f"{page}: {text}"


def test_every_json_is_json() -> None:
    for block in of("json"):
        json.loads(block.text)


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_every_program_is_python(block: Block) -> None:
    ast.parse(block.text)


def test_every_command_is_run_by_a_test_or_says_why_not() -> None:
    left = [
        str(block)
        for block in ALL
        if block.language in COMMANDS | {"python"}
        and (block.page, block.language) not in RUN_BY
        and (block.page, block.text.partition("\n")[0]) not in NOT_RUN
    ]
    assert left == []


def test_every_reason_and_every_test_is_needed() -> None:
    first_lines = {(block.page, block.text.partition("\n")[0]) for block in ALL}
    assert set(NOT_RUN) - first_lines == set()
    assert set(RUN_BY) - {(block.page, block.language) for block in ALL} == set()
    assert [name for name in {*RUN_BY.values(), *OF_OTHERS.values()} if not (ROOT / name).is_file()] == []
    for (page, _), test in RUN_BY.items():
        assert Path(page).name.removesuffix(".md").lower() in (ROOT / test).read_text().lower()


def test_what_stands_behind_a_language_is_known() -> None:
    known = {*OF_OTHERS, "frame", "nginx", "haproxy", "caddy", "balance", "demo", "fragment"}
    named = {name for block in ALL for name in block.names}
    assert {name for name in named - known if "." not in name} == set()  # with a dot: the file that it is saved as
