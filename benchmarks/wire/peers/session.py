"""The session cookies of the row with all features on, for each proxy."""

import hmac
from base64 import urlsafe_b64encode

POOL, BACKEND = "default", "a"
BALANCE_SECRET = "wire"
BALANCE_COOKIE = "LOAD-BALANCING_SESSION"
HAPROXY_COOKIE = "SERVERID"


def balance_token() -> str:
    """What Balance makes of the secret for this backend."""
    digest = hmac.digest(BALANCE_SECRET.encode(), f"{POOL}\0{BACKEND}".encode(), "sha256")
    return urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


COOKIES = f"{BALANCE_COOKIE}={balance_token()}; {HAPROXY_COOKIE}={BACKEND}"
