"""The generated files in docs/ are up to date with the schema."""

import json
from pathlib import Path

from balance.config import json_schema, reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_schema_that_is_shipped_is_the_one_that_checks() -> None:
    shipped = json.loads((DOCS / "balance.schema.json").read_text())
    assert shipped == json_schema(), "make it anew: balance-validate --schema > docs/balance.schema.json"


def test_the_reference_that_is_shipped_is_made_from_the_schema() -> None:
    shipped = (DOCS / "CONFIGURATION.md").read_text()
    assert shipped == reference(), "make it anew: balance-validate --reference > docs/CONFIGURATION.md"


def test_the_schema_knows_required_keys_defaults_and_older_names() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["BackendSection"]["required"] == ["address"]
    assert definitions["BackendSection"]["additionalProperties"] is False
    assert definitions["TimeoutsSection"]["properties"]["connect"]["default"] == "5s"
    assert definitions["HealthCheckSection"]["properties"]["http_path"]["deprecated"] is True
    assert "default" not in definitions["ListenerSection"]["properties"]["mode"]


def test_the_reference_has_every_word_that_a_key_may_be_in_one_spelling() -> None:
    rows = reference().splitlines()
    (aliases,) = (row for row in rows if row.startswith("| `aliases` |"))
    assert "`loadbalancer`, `go_balancer`." in aliases
    algorithms = next(row for row in rows if row.startswith("| `algorithm` |"))
    assert "`least-connections`" in algorithms
    assert "least_connections" not in algorithms


def test_the_reference_has_a_heading_for_every_link() -> None:
    text = reference()
    links = {part.split(")")[0] for part in text.split("](#")[1:]}
    assert links
    assert links <= {line[3:].replace(" ", "-") for line in text.splitlines() if line.startswith("## ")}
