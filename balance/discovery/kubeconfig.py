"""What a kubeconfig says of its current context (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/):
whom to ask, as whom. What would run a program, or would not verify the server, is refused by name."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, Final

from balance.discovery.json_reading import dict_of, list_of, printable, text_of

# Of a user; why not. A program that a file names would run as Balance, in control.
_REFUSED_OF_USER: Final = {
    "exec": "a program that makes tokens is not run; use a service account's token (`tokenFile`) or a client certificate",
    "auth-provider": "these providers are gone from Kubernetes; use `tokenFile` or a client certificate",
    "username": "Kubernetes has no passwords any more; use `token`, `tokenFile` or a client certificate",
    "password": "Kubernetes has no passwords any more; use `token`, `tokenFile` or a client certificate",
    "as": "nobody is impersonated; give the service account its own rights",
    "as-groups": "nobody is impersonated; give the service account its own rights",
    "as-user-extra": "nobody is impersonated; give the service account its own rights",
}
_REFUSED_OF_CLUSTER: Final = {
    "insecure-skip-tls-verify": "the server is always verified; name its authority (`certificate-authority`)",
    "proxy-url": "no proxy is used on the way to the API server",
}


@dataclass(frozen=True, slots=True)
class Pem:
    """PEM text as it is, or the file that has it."""

    file: str = ""
    text: bytes = field(default=b"", repr=False)

    def __bool__(self) -> bool:
        return bool(self.file or self.text)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom to ask and as whom. Paths are as the file has them, from its own folder."""

    server: str
    namespace: str = "default"
    server_name: str = ""  # that its certificate has to have; "": the server's
    authority: Pem = field(default_factory=Pem)  # none: the system's
    certificate: Pem = field(default_factory=Pem)
    key: Pem = field(default_factory=Pem)
    token: str = field(default="", repr=False)
    token_file: str = ""


def parse_kubeconfig(text: str) -> Credentials:
    """The credentials of the current context. ValueError says in one line what is wrong, and quotes no secret."""
    import yaml  # not in the memory of a control process that reads none

    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError) as error:  # of tags: `!!bool x`
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise ValueError(f"it is not YAML{where}") from None
    root = dict_of(document)
    name = text_of(root.get("current-context"))
    if not name:
        raise ValueError("it has no current-context: `kubectl config use-context NAME` sets one")
    context = _named(root, "contexts", "context", name)
    cluster = _named(root, "clusters", "cluster", text_of(context.get("cluster")))
    user = _named(root, "users", "user", text_of(context.get("user"))) if context.get("user") else {}
    for part, refused, what in ((cluster, _REFUSED_OF_CLUSTER, "cluster"), (user, _REFUSED_OF_USER, "user")):
        for key, why in refused.items():
            if part.get(key):
                raise ValueError(f"its {what} has `{key}`: {why}")
    if text_of(user.get("token")) and not text_of(user["token"]).isprintable():
        raise ValueError("its user's token has characters that a token can't have")
    return Credentials(
        server=text_of(cluster.get("server")),
        namespace=text_of(context.get("namespace")) or "default",
        server_name=text_of(cluster.get("tls-server-name")),
        authority=_pem(cluster, "certificate-authority"),
        certificate=_pem(user, "client-certificate"),
        key=_pem(user, "client-key"),
        token="" if user.get("tokenFile") else text_of(user.get("token")),  # the file wins, as in client-go
        token_file=text_of(user.get("tokenFile")),
    )


def _named(root: dict[str, Any], group: str, kind: str, name: str) -> dict[str, Any]:
    for entry in list_of(root.get(group)):
        if dict_of(entry).get("name") == name:
            return dict_of(dict_of(entry).get(kind))
    raise ValueError(f"it has no {kind} {printable(name, 60)!r}")


def _pem(part: dict[str, Any], key: str) -> Pem:
    """The inline text wins over the file, as in client-go."""
    data = text_of(part.get(f"{key}-data"))
    if not data:
        return Pem(file=text_of(part.get(key)))
    try:
        return Pem(text=base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError(f"`{key}-data` is not base64") from None
