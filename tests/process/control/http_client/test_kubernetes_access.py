"""Where a Kubernetes API server is and as whom it is asked: in a pod and by a kubeconfig, as its files change.

S15: the token of a service account is renewed in its file alone.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
import yaml
from pem_files import self_signed

from balance.process.control.http_client.client import ClientError
from balance.process.control.http_client.kubernetes_access import KubernetesAccess


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    """The folder that a pod is given."""
    cert, _ = self_signed("kubernetes")
    (tmp_path / "ca.crt").write_bytes(cert.read_bytes())
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("shop")
    return tmp_path


def in_pod(folder: Path, host: str = "10.96.0.1") -> KubernetesAccess:
    return KubernetesAccess("", {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}, str(folder))


def test_in_a_pod(pod: Path) -> None:
    for host, address in (("10.96.0.1", "10.96.0.1:6443"), ("fd00::1", "[fd00::1]:6443")):
        access = asyncio.run(in_pod(pod, host).current())
        assert (str(access.server.address), access.namespace) == (address, "shop")
        assert ("Authorization", "Bearer first") in access.fields and access.server.context is not None
        assert "first" not in repr(access)


def test_a_token_is_read_again_when_it_was_refused(pod: Path) -> None:
    async def talk() -> None:
        made = in_pod(pod)
        first = await made.current()
        (pod / "token").write_text("second")
        assert await made.current() is first  # not before a minute is over
        made.forget()
        second = await made.current()
        assert ("Authorization", "Bearer second") in second.fields
        assert second.server.context is first.server.context  # nothing of it has changed

    asyncio.run(talk())


def test_an_authority_is_taken_anew_when_it_changes(pod: Path) -> None:
    async def talk() -> None:
        made = in_pod(pod)
        first = await made.current()
        (pod / "ca.crt").write_bytes(self_signed("kubernetes", number=2).cert.read_bytes())
        made.forget()
        assert (await made.current()).server.context is not first.server.context

    asyncio.run(talk())


def test_a_file_that_is_gone_for_a_moment_is_read_again_at_once(pod: Path) -> None:
    async def talk() -> None:
        made = in_pod(pod)
        (pod / "token").rename(pod / "away")
        for _ in range(2):
            with pytest.raises(ClientError, match=r"the token's file .* can't be read: No such file or directory"):
                await made.current()
        (pod / "away").rename(pod / "token")
        await made.current()

    asyncio.run(talk())


def test_this_is_no_pod(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"this is no pod of Kubernetes .*: `kubeconfig` has to say whom to ask"):
        asyncio.run(KubernetesAccess("", {}, str(tmp_path)).current())


def write_kubeconfig(folder: Path, cluster: dict[str, object], user: dict[str, object]) -> Path:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_kubeconfig(tmp_path: Path) -> None:
    cert, key = self_signed("kubernetes")
    (tmp_path / "tls.crt").write_bytes(cert.read_bytes())
    (tmp_path / "token").write_text("t")
    cluster = {"server": "https://api.example/prefix", "tls-server-name": "kubernetes"}
    user = {
        "client-certificate": "tls.crt",
        "client-key-data": base64.b64encode(key.read_bytes()).decode(),
        "tokenFile": "token",
    }
    path = write_kubeconfig(tmp_path, cluster | {"certificate-authority": "tls.crt"}, user)
    access = asyncio.run(KubernetesAccess(str(path)).current())
    server = access.server
    assert (str(server.address), server.prefix, server.server_name) == ("api.example:443", "/prefix", "kubernetes")
    assert ("Authorization", "Bearer t") in access.fields and access.namespace == "default"


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({"server": "http://127.0.0.1:8001"}, {"token": "secret"}, "is not https: its token would be readable on the way"),
        ({"server": "https://x", "certificate-authority": "none.crt"}, {}, "the server's authority .*none.crt' can't be read"),
        (
            {"server": "https://x", "certificate-authority-data": "c2VjcmV0"},
            {},
            "TLS can't be prepared: .*the server's authority",
        ),
        ({"server": "https://x"}, {"client-certificate": "none.crt"}, "the client certificate .*none.crt' can't be read"),
        ({"server": "https://x"}, {"exec": {"command": "aws"}}, "the kubeconfig .* can't be used: its user has `exec`"),
        ({}, {}, "the server in .*config: it is no address of a server"),
        ({"server": "https://x"}, {"tokenFile": "config"}, "characters that a token can't have"),
    ],
    ids=range(7),
)
def test_a_kubeconfig_that_can_not_be_used(
    tmp_path: Path, cluster: dict[str, object], user: dict[str, object], words: str
) -> None:
    path = write_kubeconfig(tmp_path, cluster, user)
    with pytest.raises(ClientError, match=words) as caught:
        asyncio.run(KubernetesAccess(str(path)).current())
    assert "secret" not in str(caught.value)


def test_kubectl_proxy_needs_no_token(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, {"server": "http://127.0.0.1:8001"}, {})
    assert asyncio.run(KubernetesAccess(str(path)).current()).fields == (("Accept", "application/json"),)
