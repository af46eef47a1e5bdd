"""The certificate of rows over TLS: self-signed, with a P-256 key, made by the command `openssl`."""

import subprocess
from pathlib import Path

from wire.child import ChildFailedError


def make_certificate(folder: Path) -> Path:
    """Key and certificate in one PEM file, as all proxies read it."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise ChildFailedError("openssl is not installed: apt-get install openssl") from None
    except subprocess.CalledProcessError as error:
        raise ChildFailedError(f"openssl made no certificate: {error.stderr.strip()}") from error
    both.write_text(certificate.read_text() + key.read_text())
    both.chmod(0o600)
    return both
