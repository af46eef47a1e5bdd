"""How a client gets in, and that nothing shows a token."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest
from misbehaving_server import answering, json_reply, saying

from balance.client import AccessError, Client, ClientError, NotAuthorisedError
from balance.client.access import Token, access_of_environment, access_to

SECRET = "hush-hush-hush-hush-1"


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "_TOKEN", "_TOKEN_FILE", "_CA_FILE", "_CLIENT_CERT"):
        monkeypatch.delenv(f"BALANCE_ADMIN{name}", raising=False)


def test_a_token_shows_itself_to_nobody(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    for client in (Client(":1", token=SECRET), Client(":1", token_file=str(file))):
        access = client.access
        assert access.token.reveal() == SECRET
        shown = f"{client!r} {client} {access!r} {access.token!r} {access.token} {vars(client)}"
        assert SECRET not in shown
    with pytest.raises(TypeError):
        pickle.dumps(Token(SECRET))


@pytest.mark.parametrize(
    "conversation",
    [
        json_reply('{"error": "no"}', "401 Unauthorized"),
        json_reply('{"error": "no"}', "403 Forbidden"),
        json_reply("nonsense"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        saying(b""),
    ],
)
def test_no_error_and_no_frame_of_one_has_the_token(conversation: object) -> None:
    with answering(conversation) as (address, heads):  # type: ignore[arg-type]
        for call in (Client.status, Client.restart, Client.events):
            with pytest.raises(ClientError) as caught:
                call(Client(address, token=SECRET))  # type: ignore[operator]
            told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            frames = [frame for frame in told.stack if "/balance/client/" in frame.filename]
            assert frames
            assert SECRET not in repr([frame.locals for frame in frames])
            assert SECRET not in str(caught.value) + repr(caught.value)
    assert all(f"Authorization: Bearer {SECRET}\r\n".encode() in head for head in heads)


def test_a_refused_token_is_named_by_its_source(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    with answering(json_reply("{}", "401 Unauthorized")) as (address, _):
        with pytest.raises(NotAuthorisedError, match=f"does not take the token of {file}$"):
            Client(address, token_file=str(file)).status()
        with pytest.raises(NotAuthorisedError, match=r"asks for a token$"):
            Client(address).status()


@pytest.mark.parametrize("text", ["two words", "a\nb", "caf\xe9", "\x1b[2J", "a\r\nX: y"])
def test_what_is_no_token_is_not_sent_and_not_shown(text: str) -> None:
    with pytest.raises(AccessError) as caught:
        Client(token=text)
    assert text not in str(caught.value)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"nowhere: can't be read: No such file"):
        Client(token_file=str(tmp_path / "nowhere"))
    file = tmp_path / "ca.pem"
    file.write_text("nonsense")
    with answering(saying(b"")) as (address, _), pytest.raises(AccessError, match=r"ca\.pem: can't be used for TLS"):
        Client(address, ca_file=str(file)).status()


def test_the_environment_says_where_it_is_and_what_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(access_of_environment().address) == "127.0.0.1:9090"
    monkeypatch.setenv("BALANCE_ADMIN", "https://[::1]:9443")
    monkeypatch.setenv("BALANCE_ADMIN_TOKEN", SECRET)
    found = Client.from_environment().access
    assert (found.url, found.token.reveal(), found.token_source) == ("https://[::1]:9443", SECRET, "BALANCE_ADMIN_TOKEN")
    file = tmp_path / "token"
    file.write_text("of-a-file")
    monkeypatch.setenv("BALANCE_ADMIN_TOKEN_FILE", str(file))
    monkeypatch.setenv("BALANCE_ADMIN_CA_FILE", "ca.pem")
    found = Client.from_environment("unix:/run/admin.sock").access
    assert (str(found.address), found.token.reveal(), found.ca_file) == ("unix:/run/admin.sock", "of-a-file", "ca.pem")


def test_a_loopback_address_is_this_machine() -> None:
    local = [access_to(each).is_local for each in (":1", "localhost:1", "[::1]:1", "unix:/a", "192.0.2.1:1", "h.example:1")]
    assert local == [True, True, True, True, False, False]
