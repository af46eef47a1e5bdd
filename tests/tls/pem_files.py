"""Certificates made by the openssl program, for tests."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from balance.tls.settings import Certificate, PemFile

_FOLDER = tempfile.TemporaryDirectory(prefix="balance-pem-")
KINDS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"], "weak": ["rsa:1024"], "ed25519": ["ed25519"]}


class Pair(NamedTuple):
    cert: Path
    key: Path

    @property
    def certificate(self) -> Certificate:
        return Certificate(read(self.cert), read(self.key))


def read(path: Path) -> PemFile:
    return PemFile(str(path), path.read_bytes())


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@functools.cache
def self_signed(*names: str, kind: str = "ec", days: int = 365, number: int = 0) -> Pair:
    """One pair for the same arguments in a process; another `number` is another pair."""
    folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
    pair = Pair(folder / "tls.crt", folder / "tls.key")
    san = ",".join(name if ":" in name else f"DNS:{name}" for name in names)
    openssl(
        "req", "-x509", "-newkey", *KINDS[kind], "-nodes", "-keyout", pair.key, "-out", pair.cert, "-days", str(days),
        "-subj", f"/CN={names[0] if names else 'nobody'}", *(["-addext", f"subjectAltName={san}"] if names else []),
    )  # fmt: skip
    return pair


class Authority(NamedTuple):
    """A certificate authority, with its files."""

    cert: Path
    key: Path

    def issue(self, name: str, *names: str, serial: int = 1, is_ca: bool = False) -> Pair:
        folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
        pair = Pair(folder / "tls.crt", folder / "tls.key")
        request, extensions = folder / "request", folder / "extensions"
        san = ",".join(f"DNS:{each}" for each in names or (name,))
        basic = "basicConstraints=critical,CA:TRUE\n" if is_ca else ""
        extensions.write_text(f"{basic}subjectAltName={san}\n")
        openssl("req", "-new", "-newkey", *KINDS["ec"], "-nodes", "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-set_serial", str(serial), "-days", "365",
            "-extfile", extensions, "-out", pair.cert,
        )  # fmt: skip
        return pair


@functools.cache
def authority(name: str = "Test CA") -> Authority:
    folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
    cert, key = folder / "ca.crt", folder / "ca.key"
    openssl(
        "req", "-x509", "-newkey", *KINDS["ec"], "-nodes", "-keyout", key, "-out", cert, "-days", "3650", "-subj", f"/CN={name}"
    )
    return Authority(cert, key)
