"""Every example is a configuration that loads without a warning, and between them they show every key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from balance.config import json_schema, load_file
from balance.model import Address, Mode

FOLDER = Path(__file__).parents[1] / "deployments" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))


def test_there_are_examples() -> None:
    assert {"http-minimal.yaml", "tcp-minimal.yaml", "http-full.yaml", "tcp-health-checks.yaml"} <= {
        file.name for file in EXAMPLES
    }


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_loads(file: Path) -> None:
    # That /run/balance is not there, or that the machine is small, is no fault of the example.
    assert load_file(file, {}).warnings == ()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_tells_editors_its_schema_and_readers_its_purpose(file: Path) -> None:
    schema, purpose, *_ = file.read_text().splitlines()
    prefix = "# yaml-language-server: $schema="
    assert schema.startswith(prefix)
    assert (file.parent / schema.removeprefix(prefix)).is_file()
    assert purpose.startswith("# ")
    assert purpose.endswith(".")


@pytest.mark.parametrize(("name", "mode"), [("http-minimal.yaml", Mode.HTTP), ("tcp-minimal.yaml", Mode.TCP)])
def test_the_minimal_examples_are_what_the_readme_shows(name: str, mode: Mode) -> None:
    config = load_file(FOLDER / name, {}).config
    (listener,), (pool,) = config.listeners, config.pools
    assert (listener.mode, listener.addresses) == (mode, (Address("", 8080),))
    assert [backend.address for backend in pool.backends] == [Address("127.0.0.1", port) for port in (9001, 9002, 9003)]


def keys_in(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        return set(tree) | {key for value in tree.values() for key in keys_in(value)}
    return {key for value in tree for key in keys_in(value)} if isinstance(tree, list) else set()


def test_the_full_example_has_every_key() -> None:
    schema = json_schema()
    known = {
        key
        for section in (schema, *schema["$defs"].values())
        for key, about in section.get("properties", {}).items()
        if not about.get("deprecated")
    }
    elsewhere = {"connection_protection", "resilience"}  # homes of older names
    elsewhere.add("service")  # grpc needs a library that not everybody installs: grpc-health-checks.yaml
    elsewhere.add("geoip_db")  # a file that nobody may pass on
    text = (FOLDER / "http-full.yaml").read_text()  # YAML 1.1 would take the key `on` for a boolean
    assert known - elsewhere <= keys_in(yaml.load(text, Loader=yaml.BaseLoader))


def test_the_environment_reaches_the_example_that_is_about_it() -> None:
    config = load_file(FOLDER / "environment.yaml", {"PORT": "7000", "BIND": "127.0.0.1", "BALANCE_WORKERS": "1"}).config
    assert config.listeners[0].addresses == (Address("127.0.0.1", 7000),)
    assert config.workers == 1
