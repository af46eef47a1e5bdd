"""How to reach a Kubernetes API server: by what every pod is given, or by a kubeconfig. All files are read again each minute.

In a pod: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/. Control may have given up root: it needs to be
able to read these files, and says so when it is not.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from balance.discovery.kubeconfig import Credentials, Pem, parse_kubeconfig
from balance.process.control.http_client.client import ClientError, Server, server_of, tls_context
from balance.process.control.http_client.token_file import Reread, read_apart, read_bounded, read_token
from balance.tls.settings import BackendTls, PemFile

POD_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, slots=True)
class Access:
    """Whom to ask, with which fields, and the namespace to ask for where none is configured."""

    server: Server
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    namespace: str


class KubernetesAccess:
    """One for each source. `environ` and `folder` are what a pod is given."""

    def __init__(self, kubeconfig: str = "", environ: Mapping[str, str] = os.environ, folder: str = POD_FOLDER) -> None:
        self._kubeconfig = kubeconfig
        self._environ = environ
        self._folder = folder
        self._reread = Reread()
        self._access: Access | None = None
        self._tls: tuple[object, ssl.SSLContext] | None = None  # what the context was made of, and it

    @property
    def where(self) -> str:
        """In words, without secrets."""
        return self._kubeconfig or "the cluster of this pod"

    async def current(self) -> Access:
        """What is valid now. ClientError."""
        if self._reread.is_due() or self._access is None:
            try:
                self._access = await read_apart(self._read)
            except ClientError:
                self._reread.forget()
                raise
        return self._access

    def forget(self) -> None:
        """The server has refused it: read it anew."""
        self._reread.forget()

    def _read(self) -> Access:
        """Blocks."""
        credentials = self._of_file() if self._kubeconfig else self._of_pod()
        token = credentials.token
        if credentials.token_file:
            token = read_token(os.path.join(os.path.dirname(self._kubeconfig), credentials.token_file))
        try:
            server = server_of(credentials.server, server_name=credentials.server_name)
        except ValueError as error:
            raise ClientError(f"the server in {self.where}: {error}") from None
        if credentials.server.startswith("https:"):
            server = server._replace(context=self._context(credentials))
        elif token:
            raise ClientError(f"the server in {self.where} is not https: its token would be readable on the way")
        fields = (("Accept", "application/json"), *((("Authorization", f"Bearer {token}"),) if token else ()))
        return Access(server, fields, credentials.namespace)

    def _of_file(self) -> Credentials:
        text = read_bounded(self._kubeconfig, "the kubeconfig")
        try:
            return parse_kubeconfig(text.decode())
        except UnicodeDecodeError:
            raise ClientError(f"the kubeconfig {self._kubeconfig!r} is not text") from None
        except ValueError as error:
            raise ClientError(f"the kubeconfig {self._kubeconfig!r} can't be used: {error}") from None

    def _of_pod(self) -> Credentials:
        host, port = self._environ.get("KUBERNETES_SERVICE_HOST", ""), self._environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ClientError(
                "this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST is not set): `kubeconfig` has to say whom to ask"
            )
        folder = self._folder
        namespace = "default"
        if os.path.exists(os.path.join(folder, "namespace")):
            namespace = (
                read_bounded(os.path.join(folder, "namespace"), "the namespace's file").decode("ascii", "replace").strip()
            )
        return Credentials(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            namespace=namespace,
            authority=Pem(file=os.path.join(folder, "ca.crt")),
            token_file=os.path.join(folder, "token"),
        )

    def _context(self, credentials: Credentials) -> ssl.SSLContext:
        """A new one when a file that it is made of has changed."""
        authority = self._pem(credentials.authority, "the server's authority")
        certificate = self._pem(credentials.certificate, "the client certificate")
        key = self._pem(credentials.key, "the client certificate's key")
        made_of = (authority.text, certificate.text, key.text)
        if self._tls is None or self._tls[0] != made_of:
            tls = BackendTls(ca_file=authority, client_cert_file=certificate, client_key_file=key)
            self._tls = made_of, tls_context(tls)
        return self._tls[1]

    def _pem(self, pem: Pem, what: str) -> PemFile:
        if pem.text:
            return PemFile(what, pem.text)
        if not pem.file:
            return PemFile()
        path = os.path.join(os.path.dirname(self._kubeconfig), pem.file)
        return PemFile(path, read_bounded(path, what))
