"""What is said of client certificates that works, and will be regretted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pem_files import authority, self_signed

from balance.config import load_text
from balance.config.loading import Loaded

A = self_signed("a.example")
CA, OTHER = authority(), authority("Other CA")
OLD = CA.issue("old", is_ca=True, days=-1)


def joined(folder: Path, *files: Path) -> str:
    made = folder / "joined.pem"
    made.write_bytes(b"".join([file.read_bytes() for file in files]))
    return str(made)


def loaded(**tls: object) -> Loaded:
    keys = {"cert_file": str(A.cert), "key_file": str(A.key), "client_auth": "verify", "client_ca_file": str(CA.cert), **tls}
    text = {"listen": ":8443", "backends": [{"address": "127.0.0.1:9001"}], "tls": keys}
    return load_text(yaml.safe_dump(text), "x.yaml", {})


def warnings(**tls: object) -> list[str]:
    return [f"{each.path}: {each.message}" for each in loaded(**tls).warnings if each.path.startswith("tls.client")]


@pytest.mark.parametrize(("said", "meant"), [("request", "verify"), ("Require", "require-and-verify")])
def test_words_of_other_programs_are_taken_with_a_warning(said: str, meant: str) -> None:
    assert loaded(client_auth=said).config.listeners[0].tls.client_auth == meant
    (found,) = warnings(client_auth=said)
    assert found == f"tls.client_auth: {said.lower()} is taken as {meant}: a certificate that is given is always verified"


def test_files_that_have_ended_or_are_for_nobody_are_told_of(tmp_path: Path) -> None:
    assert warnings() == []
    assert warnings(client_crl_file=str(CA.revoking(1))) == []
    (ended,) = warnings(client_crl_file=str(CA.revoking(hours=-1)))
    assert re.search(r"the list of 'CN=Test CA' has ended on \d{4}-\d\d-\d\d: its clients are refused until", ended)
    both = joined(tmp_path, CA.revoking(), OTHER.revoking())
    (extra,) = warnings(client_crl_file=both)
    assert "the list of 'CN=Other CA' is for nobody: it is not in client_ca_file" in extra
    (old,) = warnings(client_ca_file=joined(tmp_path, CA.cert, OLD.cert))
    assert "'CN=old' has expired on" in old
    (leaf,) = warnings(client_ca_file=joined(tmp_path, CA.cert, CA.issue("bob").cert))
    assert "'CN=bob' is no authority" in leaf
