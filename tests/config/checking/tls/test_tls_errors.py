"""What `balance-validate` says of certificates, one line each, with its place in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pem_files import Authority, Pair, authority, self_signed

from balance.cli.validate import validate_command
from balance.config.checking.tls.tls_dates import DAY_S
from balance.config.checking.tls.tls_errors import certificate_warnings
from balance.tls.pem_loading import infos
from balance.tls.settings import Certificate, PemFile

A = self_signed("a.example")
NOW = infos(A.certificate.cert_file)[0].not_before + 3600.0  # the others are made a little later


def joined(*pairs: Pair) -> Certificate:
    """The first one's key, and the certificates of all."""
    return Certificate(PemFile("chain.crt", b"".join(pair.cert.read_bytes() for pair in pairs)), pairs[0].certificate.key_file)


def chain() -> tuple[Pair, Pair]:
    """A certificate and the intermediate that issued it."""
    above = authority().issue("Intermediate", is_ca=True, serial=7)
    return Authority(*above).issue("leaf.example", serial=8), above


LEAF, INTERMEDIATE = chain()


@pytest.mark.parametrize(
    ("certificate", "now", "expected"),
    [
        pytest.param(A.certificate, NOW, [], id="good"),
        pytest.param(joined(LEAF, INTERMEDIATE), NOW + DAY_S, [], id="good, with its intermediate"),
        pytest.param(A.certificate, NOW + 400 * DAY_S, ["has expired on"], id="expired"),
        pytest.param(A.certificate, NOW + 362 * DAY_S, ["expires on", "in 2 days"], id="expires soon"),
        pytest.param(A.certificate, NOW - DAY_S, ["is not valid before"], id="not yet valid"),
        pytest.param(
            Certificate(A.certificate.cert_file, A.certificate.key_file, domains=("b.a.example",)),
            NOW,
            ["is not for b.a.example, but for a.example"],
            id="name not covered",
        ),
        pytest.param(self_signed().certificate, NOW, [], id="a common name alone"),
        pytest.param(joined(LEAF), NOW + DAY_S, ["without the intermediate that issued it"], id="chain incomplete"),
        pytest.param(joined(LEAF, A), NOW + DAY_S, ["don't follow each other"], id="chain of strangers"),
        pytest.param(self_signed("w", kind="weak").certificate, NOW, ["1024 bits (RSA), which is weak"], id="weak key"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(certificate: Certificate, now: float, expected: list[str]) -> None:
    found = list(certificate_warnings(certificate, now))
    assert len(found) == bool(expected), found
    assert all(part in found[0] for part in expected), found


def validated(folder: Path, pair: str) -> Result:
    file = folder / "balance.yaml"
    file.write_text(f'listen: ":8443"\nbackends: [{{address: "127.0.0.1:9001"}}]\ntls:\n  certificates:\n    - {pair}\n')
    return CliRunner(env={"BALANCE_CONFIG": None}).invoke(validate_command, [str(file)], standalone_mode=False)


def test_validate_says_where_each_stands(tmp_path: Path) -> None:
    other = self_signed("b.example")
    done = validated(tmp_path, f"{{cert_file: {A.cert}, key_file: {other.key}}}")
    assert done.return_value == 1
    assert "balance.yaml:5:" in done.stderr
    assert f"tls.certificates[0].key_file: '{other.key}' is not the key of the certificate '{A.cert}'" in done.stderr
    assert "PRIVATE" not in done.stderr
    done = validated(tmp_path, f"{{cert_file: {LEAF.cert}, key_file: {LEAF.key}, domains: [c.example]}}")
    assert done.return_value == 0
    lines = [line for line in done.stderr.split("\n") if line.startswith("warning: ") and "balance.yaml:5:" in line]
    for part in ("is not for c.example, but for leaf.example", "without the intermediate that issued it"):
        assert any(part in line for line in lines), done.stderr
