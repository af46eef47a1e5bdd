"""What a command says, and its exit status, when the client raises: the client's words, and what to type about it."""

from __future__ import annotations

import click

from balance.cli.admin.tables import show_json
from balance.client.access import TOKEN
from balance.client.errors import (
    BrokenOffError,
    ClientError,
    NotAuthorisedError,
    NotBalanceError,
    RefusedError,
    TlsProblem,
    UnreachableError,
)
from balance.client.printable import printable

REFUSED = 1
NOT_RUNNING = 2
WHERE = "say where its admin port is by --admin ADDRESS or BALANCE_ADMIN"


def show_error(error: ClientError, is_json: bool) -> int:
    """Print it. Returns the exit status."""
    match error:
        case UnreachableError():
            return _say(f"{error}; start one by 'balance serve', or {WHERE}", NOT_RUNNING)
        case NotBalanceError():
            return _say(f"{error}; {WHERE.replace('its admin port', 'that')}", NOT_RUNNING)
        case RefusedError():
            return _show_refusal(error, is_json)
        case _:
            return _say(f"{error}{hint(error)}", REFUSED)


def hint(error: ClientError) -> str:
    """What to type about it, after a semicolon."""
    if isinstance(error, NotAuthorisedError):
        return "" if error.was_sent else f"; write --token-file FILE, or set {TOKEN}"
    if not isinstance(error, BrokenOffError):
        return ""
    match error.tls_problem:
        case TlsProblem.SPEAKS_TLS:
            return f"; write --admin https://{error.address}"
        case TlsProblem.SPEAKS_NO_TLS:
            return f"; if it does not speak TLS, write --admin {error.address}"
        case TlsProblem.UNTRUSTED:
            return "; --ca-file FILE names who vouches for it"
        case TlsProblem.OTHER_CERTIFICATE:
            return "; --ca-file FILE, if it may"
        case TlsProblem.WANTS_CERTIFICATE:
            return "; --client-cert FILE"
        case None:
            return ""


def _show_refusal(error: RefusedError, is_json: bool) -> int:
    if isinstance(error, NotAuthorisedError):
        error.document["error"] = f"{error}{hint(error)}"
        error.problems = (error.document["error"],)
    if is_json:
        show_json(error.document)
        return REFUSED
    for problem in error.problems:
        _say(problem, REFUSED)
    return REFUSED


def _say(text: str, status: int) -> int:
    click.echo(f"balance: {printable(text)}", err=True)
    return status
