"""Gives certificates, keys and authorities to OpenSSL, and says in one line what is wrong with a file that it does not take."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from functools import lru_cache

from balance.tls.settings import Certificate, PemFile
from balance.tls.x509 import CertificateInfo, parse_certificate, pem_blocks


class TlsError(Exception):
    """A file or setting that OpenSSL does not take, in one line; `key` is where it is configured."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def file_of(text: bytes) -> contextlib.AbstractContextManager[str]:
    """A path by which OpenSSL, which takes nothing else, can read this text: memory, where the system has such files."""
    return _in_memory(text) if hasattr(os, "memfd_create") else _on_disk(text)


@contextlib.contextmanager
def _in_memory(text: bytes) -> Iterator[str]:
    fd = os.memfd_create("tls")
    try:
        os.write(fd, text)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


@contextlib.contextmanager
def _on_disk(text: bytes) -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        yield file.name


def describe(error: ssl.SSLError) -> str:
    """What OpenSSL says, without its file names and numbers."""
    return (reason_of(error) or str(error)).replace("_", " ").lower()


def reason_of(error: ssl.SSLError) -> str:
    """OpenSSL's word for it; "" for none, where the type says str and Python has None."""
    return getattr(error, "reason", None) or ""


def load_pair(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Load a certificate, its chain and its key. TlsError, with the context in an unknown state, when they don't fit."""
    variable = certificate.key_password_env
    password = os.environ.get(variable, "") if variable else ""
    was_asked = False

    def tell() -> str:  # without it OpenSSL would ask on the terminal, and wait
        nonlocal was_asked
        was_asked = True
        return password

    with file_of(certificate.cert_file.text) as cert, file_of(certificate.key_file.text) as key:
        try:
            context.load_cert_chain(cert, key, tell)
        except ssl.SSLError as error:
            cert_name, key_name = certificate.cert_file.file, certificate.key_file.file
            if reason_of(error) in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
                message = f"{key_name!r} is not the key of the certificate {cert_name!r}"
                raise TlsError("key_file", message) from None
            if was_asked and not password:
                hint = f"the environment has no {variable}" if variable else "write key_password_env: the variable with it"
                raise TlsError("key_file", f"{key_name!r} is encrypted with a password; {hint}") from None
            if was_asked:
                raise TlsError("key_password_env", f"{key_name!r} can't be read with the password in {variable}") from None
            if not pem_blocks(certificate.cert_file.text):
                raise TlsError("cert_file", f"{cert_name!r} has no certificate in PEM format") from None
            if b"PRIVATE KEY-----" not in certificate.key_file.text:
                raise TlsError("key_file", f"{key_name!r} has no private key in PEM format") from None
            raise TlsError("cert_file", f"{cert_name!r} with {key_name!r} can't be used: {describe(error)}") from None
        except OSError as error:
            raise TlsError("cert_file", f"can't be read: {error.strerror or error}") from None
        except ValueError as error:  # a password that is too long
            raise TlsError("key_password_env", str(error)) from None


def try_pair(certificate: Certificate) -> None:
    """TlsError when the files don't fit. No context that is in use is touched: a failure would break it."""
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)


def infos(file: PemFile, key: str = "cert_file") -> list[CertificateInfo]:
    """The certificates in a file, the first one first. TlsError when there is none or one can't be read."""
    try:
        found = [parse_certificate(der) for der in pem_blocks(file.text)]
    except ValueError as error:
        raise TlsError(key, f"{file.file!r}: {error}") from None
    if not found:
        raise TlsError(key, f"{file.file!r} has no certificate in PEM format")
    return found


@lru_cache(maxsize=4096)
def expires_at(file: PemFile) -> float:
    """When a certificate that was loaded ends, in seconds since the epoch."""
    return infos(file)[0].not_after
