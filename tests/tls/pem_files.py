"""Certificates made by the openssl program, for tests."""

from __future__ import annotations

import functools
import subprocess
import tempfile
import time
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

    def issue(
        self, name: str, *names: str, serial: int = 1, is_ca: bool = False, days: int = 365, subject: str = "", extra: str = ""
    ) -> Pair:
        """`names`: DNS names or IP:...; `subject` for `/CN=name`, `extra` lines of extensions; -1 days: it has ended."""
        folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
        pair = Pair(folder / "tls.crt", folder / "tls.key")
        request, extensions = folder / "request", folder / "extensions"
        san = ",".join(each if ":" in each else f"DNS:{each}" for each in names or (name,))
        basic = "basicConstraints=critical,CA:TRUE\n" if is_ca else ""
        extensions.write_text(f"{basic}subjectAltName={san}\n{extra}\n")
        openssl(
            "req", "-new", "-utf8", "-newkey", *KINDS["ec"], "-nodes", "-keyout", pair.key, "-out", request,
            "-subj", subject or f"/CN={name}", "-multivalue-rdn",
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-set_serial", str(serial),
            "-days", str(days), "-extfile", extensions, "-out", pair.cert,
        )  # fmt: skip
        return pair

    def revoking(self, *serials: int, hours: float = 24, extensions: str = "") -> Path:
        """A list of revoked serials; it ends so many hours from now."""
        folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
        lines = [f"R\t991231235959Z\t200101000000Z\t{serial:02X}\tunknown\t/CN=x\n" for serial in serials]
        (folder / "index.txt").write_text("".join(lines))
        (folder / "config").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ncrl_extensions=e\n[e]\n" + extensions + "\n"
        )
        begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 3600 * at)) for at in (-48, hours))
        made = folder / "crl.pem"
        subprocess.run(
            ["openssl", "ca", "-gencrl", "-config", "config", "-keyfile", self.key.resolve(), "-cert", self.cert.resolve(),
             "-out", made, "-crl_lastupdate", begin, "-crl_nextupdate", end],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        return made


@functools.cache
def authority(name: str = "Test CA") -> Authority:
    return another_authority(name)


def another_authority(name: str) -> Authority:
    """One that may have the name of others."""
    folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
    cert, key = folder / "ca.crt", folder / "ca.key"
    openssl(
        "req", "-x509", "-newkey", *KINDS["ec"], "-nodes", "-keyout", key, "-out", cert, "-days", "3650", "-subj", f"/CN={name}"
    )
    return Authority(cert, key)
