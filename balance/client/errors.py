"""What goes wrong between a program and an admin port: one exception for each thing that a caller would do differently.

ClientError
├── AccessError             a file or a variable that says how to get in can't be used; nothing was sent
├── ContactError            no answer that is Balance's
│   ├── UnreachableError    nobody answers there
│   ├── NotBalanceError     somebody else answers there
│   ├── BrokenOffError      it broke off in the middle, or no TLS could be agreed upon
│   └── TimeLimitError      it took too long; an order may still be done
├── BadReplyError           what answers is Balance, but its reply can't be understood (another version, perhaps)
└── RefusedError            it refuses, in its own words; nothing has changed
    ├── NotAuthorisedError  401: it asks for a token, or for another one
    ├── ForbiddenError      403: the token may not do that
    ├── NotFoundError       404: no such backend, route, generation, endpoint
    ├── ConflictError       409: `problems` has each reason
    ├── BusyError           429 and 503: later, perhaps
    └── InternalError       500 and the like: its log says more
"""

from __future__ import annotations

import enum
from typing import Any

from balance.client.printable import printable
from balance.errors import BalanceError


class ClientError(BalanceError):
    """The base class. Its text is one line, and never has a token in it."""


class AccessError(ClientError):
    """What was given to get in can't be used: a file that can't be read, text that is no token, an address that is none."""


class ContactError(ClientError):
    """No answer, or none of Balance's. Whether an order was done is not known."""


class UnreachableError(ContactError):
    """Nobody answers at that address. Nothing was sent."""


class NotBalanceError(ContactError):
    """What answers there is something else."""


class TlsProblem(enum.Enum):
    """Why TLS did not come about, as far as one can do something about it."""

    SPEAKS_TLS = "it speaks TLS, and plain HTTP was sent"
    SPEAKS_NO_TLS = "perhaps it does not speak TLS"
    UNTRUSTED = "its certificate can't be trusted"
    OTHER_CERTIFICATE = "it shows another certificate than expected"
    WANTS_CERTIFICATE = "it takes no client without a certificate that it trusts"


class BrokenOffError(ContactError):
    """The connection was refused by TLS, or ended before the reply did."""

    def __init__(self, message: str, address: str = "", tls_problem: TlsProblem | None = None) -> None:
        super().__init__(message)
        self.address = address
        self.tls_problem = tls_problem


class TimeLimitError(ContactError):
    """The reply did not come in time."""


class BadReplyError(ClientError):
    """A reply of Balance's with something missing, or of another kind than it should be."""


class RefusedError(ClientError):
    """The instance refuses. `document` is what it said, `problems` has every reason, one line each."""

    def __init__(self, message: str, status: int, document: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.document = document
        listed = document.get("problems")
        problems = [printable(each) for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
        self.problems: tuple[str, ...] = tuple(problems) or (message,)


class NotAuthorisedError(RefusedError):
    """It asks for a token, or does not take the one that it got (`was_sent`)."""

    was_sent = False


class ForbiddenError(RefusedError):
    """Who asks is known, and may not do that: a token that may read alone, or another machine without tokens."""


class NotFoundError(RefusedError):
    """There is no such backend, route, session, generation or endpoint."""


class ConflictError(RefusedError):
    """It can't be done as things stand: a wrong configuration, a name that several have, a change of somebody else's."""


class BusyError(RefusedError):
    """Not now: too many wrong tokens from here, too many readers, or a supervisor that does not answer."""


class InternalError(RefusedError):
    """It failed; its log says more."""


_BY_STATUS: dict[int, type[RefusedError]] = {
    401: NotAuthorisedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: BusyError,
    503: BusyError,
}


def refusal(status: int, document: dict[str, Any]) -> RefusedError:
    """The exception for a reply that is no success."""
    said = document.get("error")
    message = printable(said) if isinstance(said, str) and said else f"it answered {status}"
    kind = _BY_STATUS.get(status, InternalError if status >= 500 else RefusedError)
    return kind(message, status, document)
