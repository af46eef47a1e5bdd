"""The client of a connection on a listener where certificates of clients count, once its handshake is over.

Its requests are for the names of the certificate that we gave it, by the name in its ClientHello. Another one is answered with
421 (RFC 9110 section 15.5.20), as nginx and Apache do; it is looked up as the ClientHello's was, never by the routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from balance.errors import ProtocolError
from balance.host_names import normalize_host
from balance.model import Why
from balance.tls.client_identity import identity_lines, user_of

if TYPE_CHECKING:
    import ssl

    from balance.proxy.tls.handshake import Chosen


class VerifiedClient:
    """`lines` say to backends who it is, `user` to the access log; "" without a certificate."""

    __slots__ = ("_certificate", "_host", "_tls", "lines", "user")

    def __init__(self, ssl_object: ssl.SSLObject) -> None:
        chosen: Chosen = cast(Any, ssl_object).chosen
        self._tls = chosen.tls
        self._certificate = chosen.certificate
        self._host: bytes | None = None  # the last one that was found good
        der = ssl_object.getpeercert(binary_form=True)
        self.lines = identity_lines(der)
        self.user = user_of(der) if der is not None else ""

    def check(self, host: bytes | None) -> None:
        """ProtocolError (421) for the Host of another certificate."""
        if host == self._host:
            return
        if host is not None:
            name = normalize_host(host.decode("ascii")).strip("[]")
            if self._tls.find(name) is not self._certificate:
                raise ProtocolError(421, Why.MISDIRECTED, "this connection was made for another host; make one for this one")
        self._host = host
