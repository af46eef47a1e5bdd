"""What is taken from a kubeconfig, and what is refused by name."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.discovery.kubeconfig import Pem, parse_kubeconfig


def kubeconfig(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **root: Any) -> str:
    """As `kubectl config view --raw` writes it, in two contexts."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "elsewhere", "context": {"cluster": "other", "user": "nobody"}},
            {"name": "here", "context": {"cluster": "main", "user": "balance", "namespace": "shop"}},
        ],
        "clusters": [{"name": "main", "cluster": {"server": "https://api.example:6443"} | (cluster or {})}],
        "users": [{"name": "balance", "user": user or {}}],
        "preferences": {},
    }
    return yaml.safe_dump(document | root)


def test_the_current_context() -> None:
    inline = base64.b64encode(b"PEM").decode()
    got = parse_kubeconfig(
        kubeconfig(
            {"certificate-authority": "ca.crt", "certificate-authority-data": inline, "tls-server-name": "kubernetes"},
            {"client-certificate": "tls.crt", "client-key": "tls.key", "token": "t", "tokenFile": "token"},
        )
    )
    assert (got.server, got.namespace, got.server_name) == ("https://api.example:6443", "shop", "kubernetes")
    assert (got.authority, got.certificate, got.key) == (Pem(text=b"PEM"), Pem("tls.crt"), Pem("tls.key"))
    assert (got.token, got.token_file) == ("", "token")
    assert "secret" not in repr(parse_kubeconfig(kubeconfig(user={"token": "secret"})))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (kubeconfig(user={"exec": {"command": "aws"}}), "its user has `exec`: a program that makes tokens is not run"),
        (kubeconfig(user={"auth-provider": {"name": "gcp"}}), "its user has `auth-provider`"),
        (kubeconfig(user={"username": "a", "password": "secret"}), "its user has `username`: Kubernetes has no passwords"),
        (kubeconfig(user={"as": "admin"}), "its user has `as`: nobody is impersonated"),
        (kubeconfig(user={"token": "secret\nX: 1"}), "its user's token has characters that a token can't have"),
        (kubeconfig({"insecure-skip-tls-verify": True}), "its cluster has `insecure-skip-tls-verify`: the server is always"),
        (kubeconfig({"proxy-url": "http://p"}), "its cluster has `proxy-url`: no proxy"),
        (kubeconfig({"certificate-authority-data": "!"}), "`certificate-authority-data` is not base64"),
        (kubeconfig(**{"current-context": ""}), "it has no current-context: `kubectl config use-context NAME` sets one"),
        (kubeconfig(**{"current-context": "elsewhere"}), "it has no cluster 'other'"),
        (kubeconfig(**{"current-context": "lost"}), "it has no context 'lost'"),
        (kubeconfig(users=[]), "it has no user 'balance'"),
        (kubeconfig(contexts=None, clusters=7), "it has no context 'here'"),
        ("a: [", "it is not YAML (line"),
        ("", "it has no current-context"),
        ("[" * 10_000, "it is not YAML"),
        ("- a\n- b", "it has no current-context"),
        ("!!python/object/apply:os.system [id]", "it is not YAML"),
    ],
    ids=range(18),
)
def test_what_can_not_be_used(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_kubeconfig(text)
    assert words in str(caught.value) and "secret" not in str(caught.value) and "\n" not in str(caught.value)


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(
    st.sampled_from(["current-context", "contexts", "clusters", "users", "name", "context", "cluster", "user", "token"]), each
)))  # fmt: skip
def test_whatever_stands_there_is_read_or_refused(document: object) -> None:
    try:
        parse_kubeconfig(yaml.safe_dump(document))
    except ValueError as error:
        assert "\n" not in str(error)
