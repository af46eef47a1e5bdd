"""How the commands find the admin port and its token, and what they say when they may not in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from admin_server import serving
from fake_instance import TEXT, FakeInstance
from pem_files import authority, read, self_signed

from balance.cli.admin.admin_access import find_access
from balance.cli.main import cli, run
from balance.client import BrokenOffError, Client, NotAuthorisedError
from balance.config import load_text
from balance.config.model import AdminTls

CHANGE, READ = "a-token-to-change-things-0123", "a-token-to-read-alone-4567"
AUTH = f"admin: {{auth: {{tokens: [{{name: ops, token: {CHANGE}}}], read_only_tokens: [{{name: ci, token: {READ}}}]}}}}\n"


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "_TOKEN", "_TOKEN_FILE", "_CA_FILE", "_CLIENT_CERT"):
        monkeypatch.delenv(f"BALANCE_ADMIN{name}", raising=False)
    monkeypatch.delenv("BALANCE_CONFIG", raising=False)


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of an admin port that asks for tokens."""
    fake_instance = FakeInstance()
    fake_instance.view.config = load_text(TEXT + AUTH, "f.yaml", {}).config
    with serving(fake_instance.view) as port:
        yield f"127.0.0.1:{port}"


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Say:
    def command(*words: str) -> tuple[int, str, str]:
        status = run(cli, words)
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("words", [("status",), ("reload",), ("events", "--once"), ("events",), ("stop", "--wait")])
def test_without_a_token_it_says_what_to_write(guarded: str, tell: Say, words: tuple[str, ...]) -> None:
    assert tell(*words, "--admin", guarded) == (
        1,
        "",
        f"balance: {guarded} asks for a token; write --token-file FILE, or set BALANCE_ADMIN_TOKEN\n",
    )


def test_a_token_comes_from_a_file_or_the_environment(
    guarded: str, tell: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "token", f"{CHANGE}\n")
    assert tell("block", "192.0.2.1", "--admin", guarded, "--token-file", file)[0] == 0
    monkeypatch.setenv("BALANCE_ADMIN_TOKEN", READ)
    assert tell("status", "--admin", guarded)[0] == 0
    status, out, err = tell("block", "192.0.2.1", "--admin", guarded)
    assert (status, out, err) == (1, "", "balance: token ci may read alone; orders need one of admin.auth.tokens\n")
    monkeypatch.setenv("BALANCE_ADMIN_TOKEN_FILE", file)
    assert tell("block", "192.0.2.2", "--admin", guarded)[0] == 0


def test_a_wrong_token_is_named_by_where_it_came_from(guarded: str, tell: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALANCE_ADMIN_TOKEN", "hush-hush-hush-hush-1")
    status, out, err = tell("status", "--admin", guarded, "--json")
    assert (status, json.loads(out)["error"], err) == (1, f"{guarded} does not take the token of BALANCE_ADMIN_TOKEN", "")


def test_who_is_held_up_by_guesses_waits_a_second(guarded: str, tell: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        with pytest.raises(NotAuthorisedError):
            Client(guarded, token=f"guess-{number}").status()
    waits: list[float] = []
    monkeypatch.setattr("balance.client.transport.time.sleep", waits.append)
    monkeypatch.setenv("BALANCE_ADMIN_TOKEN", CHANGE)
    assert tell("status", "--admin", guarded)[2] == "balance: too many wrong tokens from there\n"
    assert set(waits) == {1.0}


def test_a_configuration_says_where_it_is_and_what_gets_in(guarded: str, tell: Say, tmp_path: Path) -> None:
    file = written(tmp_path / "f.yaml", TEXT + AUTH.replace("{auth", f"{{listen: '{guarded}', auth"))
    assert tell("reload", "--config", file)[0] == 0


@pytest.mark.parametrize(
    ("admin", "address", "token", "pinned"),
    [
        ("{}", "127.0.0.1:9090", "", ""),
        ('{listen: ":9443"}', "127.0.0.1:9443", "", ""),
        ('{listen: "0.0.0.0:9443"}', "127.0.0.1:9443", "", ""),
        ('{listen: "unix:/run/a.sock"}', "unix:/run/a.sock", "", ""),
        ("{auth: {tokens: [{name: a, token_file: ops}]}}", "127.0.0.1:9090", "from-a-file", ""),
        ("{auth: {tokens: [{name: a, token_file: nowhere}, {name: b, token: '${T}'}]}}", "127.0.0.1:9090", "from-t", ""),
        ("{auth: {read_only_tokens: [{name: b, token: one}]}}", "127.0.0.1:9090", "one", ""),
        ("{tls: {cert_file: a.crt, key_file: a.key}}", "127.0.0.1:9090", "", "a.crt"),
        ("{tls: {enabled: false, cert_file: a.crt}}", "127.0.0.1:9090", "", ""),
        ("{auth: [1, 2]}", "127.0.0.1:9090", "", ""),
        ("{auth: {tokens: [1, {}, {token: 5}]}}", "127.0.0.1:9090", "", ""),
        ("nonsense", "127.0.0.1:9090", "", ""),
    ],
)
def test_what_a_configuration_says(
    admin: str, address: str, token: str, pinned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T", "from-t")
    written(tmp_path / "ops", "from-a-file\n")
    found = find_access(None, {"config": written(tmp_path / "f.yaml", f"admin: {admin}\n")})
    assert (str(found.address), found.token.reveal()) == (address, token)
    assert found.pinned_cert == (str(tmp_path / pinned) if pinned else "")
    assert found.is_tls is bool(pinned)
    assert token == "" or token not in repr(found)


@pytest.fixture
def half_readable(guarded: str, tmp_path: Path) -> str:
    """A configuration of which only the token to read can be read."""
    auth = f"{{tokens: [{{name: ops, token_file: nowhere}}], read_only_tokens: [{{name: ci, token: {READ}}}]}}"
    return written(tmp_path / "f.yaml", f"admin: {{listen: '{guarded}', auth: {auth}}}\n")


def test_no_order_is_sent_with_another_token_than_was_meant(tell: Say, half_readable: str, tmp_path: Path) -> None:
    why = f"tokens of the configuration: none can be used ({tmp_path}/nowhere: can't be read: No such file or directory)"
    for words in (("reload",), ("drain", "a1"), ("block", "192.0.2.1"), ("restart",)):
        assert tell(*words, "--config", half_readable) == (1, "", f"balance: {why}; --token-file FILE names another\n")
    assert tell("status", "--config", half_readable)[0] == 0  # which that token is for
    file = written(tmp_path / "token", CHANGE)
    assert tell("restart", "--config", half_readable, "--token-file", file)[0] == 0


@pytest.mark.parametrize(
    ("tokens", "place"),
    [
        ('[{name: ops, token: "${UNSET_TOKEN}"}]', "admin.auth.tokens[0].token"),
        ('[{name: ops, token_file: "${UNSET_TOKEN}"}]', "admin.auth.tokens[0].token_file"),
        ('"${UNSET_TOKEN}"', "admin.auth.tokens"),
    ],
)
def test_no_order_is_sent_with_another_token_where_a_variable_is_not_set(
    tokens: str, place: str, tell: Say, guarded: str, tmp_path: Path
) -> None:
    auth = f"{{tokens: {tokens}, read_only_tokens: [{{name: ci, token: {READ}}}]}}"
    file = written(tmp_path / "f.yaml", f"admin: {{listen: '{guarded}', auth: {auth}}}\n")
    status, _, err = tell("drain", "a1", "--config", file)
    assert (status, f"{place}: the variable UNSET_TOKEN is not set" in err) == (1, True), err
    assert tell("status", "--config", file)[0] == 0


def test_a_configuration_whose_tokens_can_not_be_read_is_told(tell: Say, guarded: str, tmp_path: Path) -> None:
    for key in ("tokens", "read_only_tokens"):
        text = f"admin: {{listen: '{guarded}', auth: {{{key}: [{{name: a, token_file: nowhere}}]}}}}\n"
        status, _, err = tell("status", "--config", written(tmp_path / "f.yaml", text))
        assert (status, f"{key} of the configuration: none can be used" in err) == (2, True)


def test_the_token_of_a_configuration_goes_to_its_address_alone(tmp_path: Path) -> None:
    file = written(tmp_path / "f.yaml", AUTH)
    assert find_access("192.0.2.1:9090", {"config": file}).token.reveal() == ""


def test_a_configuration_of_the_environment_need_not_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALANCE_CONFIG", str(tmp_path / "nowhere.yaml"))
    assert str(find_access(None, {}).address) == "127.0.0.1:9090"
    with pytest.raises(click.UsageError, match="can't be read"):
        find_access(None, {"config": str(tmp_path / "nowhere.yaml")})


@pytest.mark.parametrize("text", ["", "two words", "a\nb", "caf\xe9", "\x1b[2J"])
def test_what_is_no_token_is_not_sent(text: str, tmp_path: Path) -> None:
    with pytest.raises(click.UsageError) as caught:
        find_access(None, {"token_file": written(tmp_path / "token", text)})
    assert not text or text not in caught.value.message


def tls_of(name: str) -> AdminTls:
    pair = authority("Ops").issue(name, "IP:127.0.0.1")
    return AdminTls(True, read(pair.cert), read(pair.key))


@pytest.mark.long
def test_the_certificate_is_verified_by_who_vouches_for_it_or_by_the_configuration(tell: Say, tmp_path: Path) -> None:
    ca, other = str(authority("Ops").cert), str(self_signed("other").cert)
    tls = tls_of("admin")
    with serving(FakeInstance().view, lambda: tls) as port:
        address = f"127.0.0.1:{port}"
        assert tell("status", "--admin", f"https://{address}", "--ca-file", ca)[0] == 0
        assert tell("status", "--admin", f"https://{address}")[2].startswith(
            f"balance: https://{address}: its certificate can't be trusted: "
        )
        assert tell("status", "--admin", f"https://{address}", "--ca-file", other)[0] == 1
        assert tell("status", "--admin", address) == (
            1,
            "",
            f"balance: {address} speaks TLS; write --admin https://{address}\n",
        )
        for cert, status in ((tls.cert_file.file, 0), (other, 1)):
            text = f"admin: {{listen: '{address}', tls: {{cert_file: {cert}, key_file: x}}}}\n"
            assert tell("status", "--config", written(tmp_path / "f.yaml", text))[0] == status


@pytest.mark.long
def test_a_client_certificate_is_shown_where_it_is_asked_for(tell: Say, tmp_path: Path) -> None:
    ops = authority("Ops")
    ada = ops.issue("Ada")
    both = written(tmp_path / "ada.pem", ada.cert.read_text() + ada.key.read_text())
    server = tls_of("admin")
    tls = AdminTls(True, server.cert_file, server.key_file, client_auth="require-and-verify", client_ca_file=read(ops.cert))
    with serving(FakeInstance().view, lambda: tls) as port:
        words = ("status", "--admin", f"https://127.0.0.1:{port}", "--ca-file", str(ops.cert))
        assert tell(*words, "--client-cert", both)[0] == 0
        assert tell(*words) == (
            1,
            "",
            f"balance: https://127.0.0.1:{port} takes no client without a certificate that it trusts; --client-cert FILE\n",
        )


def test_a_port_without_tls_is_told_apart(guarded: str, tell: Say) -> None:
    with pytest.raises(BrokenOffError, match="no TLS handshake: "):
        Client(f"https://{guarded}").status()
    said = tell("status", "--admin", f"https://{guarded}")
    assert said[0] == 1
    assert said[2].endswith(f"; if it does not speak TLS, write --admin {guarded}\n")


def test_a_file_that_is_no_certificate_is_named(tell: Say, tmp_path: Path, guarded: str) -> None:
    file = written(tmp_path / "ca.pem", "nonsense")
    assert f"{file}: can't be used for TLS" in tell("status", "--admin", guarded, "--ca-file", file)[2]
