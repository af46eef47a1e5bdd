"""A TLS client that sends any record it likes: a real handshake by OpenSSL, then records sealed by its secrets, made by hand.

AES-128-GCM alone. TLS 1.3: RFC 8446 section 5; TLS 1.2: RFC 5246 section 6.2 and RFC 5288.
"""

from __future__ import annotations

import hmac
import socket
import ssl
import tempfile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, HEARTBEAT = 20, 21, 22, 23, 24
KEY_UPDATE = b"\x18\x00\x00\x01\x00"
KEY_UPDATE_WANTED = b"\x18\x00\x00\x01\x01"  # and one in return
HELLO_REQUEST = b"\x00\x00\x00\x00"
USER_CANCELED = b"\x01\x5a"  # a warning
NO_RENEGOTIATION = b"\x01\x64"  # a warning
MAX_RECORD = 16384


def record(kind: int, content: bytes, version: bytes = b"\x03\x03") -> bytes:
    """A record in plain text."""
    return bytes([kind]) + version + len(content).to_bytes(2, "big") + content


def client_context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    return context


class Half:
    """A handshake whose flights are sent by the caller."""

    def __init__(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, keylog: str = "") -> None:
        context = client_context(version)
        if keylog:
            context.keylog_filename = keylog
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="a.example")
        self.is_over = False

    def flight(self, received: bytes = b"") -> bytes:
        """What it sends next; b"" while more has to come."""
        self._incoming.write(received)
        try:
            self.tls.do_handshake()
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()


def hello(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    return Half(version).flight()


class CraftedClient:
    """A connection whose handshake is over; what comes from the server then is not deciphered."""

    def __init__(self, sock: socket.socket, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.sock = sock
        self.is_13 = version is ssl.TLSVersion.TLSv1_3
        received = b""
        with tempfile.NamedTemporaryFile() as keylog:
            half = Half(version, keylog.name)
            sock.sendall(half.flight())
            while not half.is_over:
                more = sock.recv(65536)
                assert more, f"the end after {received!r}"
                received += more
                sock.sendall(half.flight(more))
            lines = [line.split() for line in keylog.read().decode().splitlines() if not line.startswith("#")]
        secrets = {name: (bytes.fromhex(random), bytes.fromhex(secret)) for name, random, secret in lines}
        self._number = 0  # of the next record
        if self.is_13:
            self._hash = "sha384" if "SHA384" in (half.tls.cipher() or ("",))[0] else "sha256"
            self._secret = secrets["CLIENT_TRAFFIC_SECRET_0"][1]
            self._use_secret()
        else:
            random, master = secrets["CLIENT_RANDOM"]
            block = _prf(master, b"key expansion" + received[11:43] + random, 40)
            self._cipher, self._iv = AESGCM(block[:16]), block[32:36]
            self._number = 1  # its Finished was the first

    def _use_secret(self) -> None:
        size = 32 if self._hash == "sha384" else 16
        self._cipher = AESGCM(_expand(self._hash, self._secret, b"key", size))
        self._iv = _expand(self._hash, self._secret, b"iv", 12)
        self._number = 0

    def seal(self, kind: int, content: bytes, padding: int = 0) -> bytes:
        """A record; `padding` are bytes that TLS 1.3 knows."""
        number = self._number.to_bytes(8, "big")
        self._number += 1
        if self.is_13:
            inner = content + bytes([kind]) + bytes(padding)
            head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
            nonce = bytes(a ^ b for a, b in zip(self._iv, bytes(4) + number, strict=True))
            sealed = head + self._cipher.encrypt(nonce, inner, head)
            if kind == HANDSHAKE and content[:1] == KEY_UPDATE[:1]:
                self._secret = _expand(self._hash, self._secret, b"traffic upd", len(self._secret))
                self._use_secret()
            return sealed
        head = bytes([kind]) + b"\x03\x03"
        sealed = self._cipher.encrypt(self._iv + number, content, number + head + len(content).to_bytes(2, "big"))
        return head + (len(sealed) + 8).to_bytes(2, "big") + number + sealed


def _expand(hash_name: str, secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446 section 7.1, without a context, for one block."""
    full = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return hmac.digest(secret, info + b"\1", hash_name)[:size]


def _prf(secret: bytes, seed: bytes, size: int) -> bytes:
    """The PRF of RFC 5246 section 5 with SHA-256; `seed` begins with the label."""
    made, a = b"", seed
    while len(made) < size:
        a = hmac.digest(secret, a, "sha256")
        made += hmac.digest(secret, a + seed, "sha256")
    return made[:size]
