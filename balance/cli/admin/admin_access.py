"""Where the admin port is and what gets in there, from options, the environment and a configuration file.

A token is never an argument, which everybody on the machine can read. One from a configuration is sent to its address alone.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import click

from balance.client.access import (
    CA_FILE,
    CLIENT_CERT,
    DEFAULT,
    Access,
    Token,
    parse_address,
    read_token,
    with_environment_token,
    with_tls,
    with_token_file,
)
from balance.client.errors import AccessError
from balance.model import Address

CONFIG = "BALANCE_CONFIG"


def find_access(admin: str | None, options: dict[str, str]) -> Access:
    """`options` are those given on the command line: token_file, ca_file, client_cert, config. UsageError: what is wrong."""
    config = options.get("config") or os.environ.get(CONFIG, "")
    try:
        found = _address(admin) if admin else _of_file(config, is_needed="config" in options) or _address(DEFAULT)
        ca_file = options.get("ca_file") or os.environ.get(CA_FILE, "")
        found = with_tls(found, ca_file, options.get("client_cert") or os.environ.get(CLIENT_CERT, ""))
        if file := options.get("token_file", ""):
            return with_token_file(found, file)
        found = with_environment_token(found)
    except AccessError as error:
        raise click.UsageError(str(error)) from None
    if found.read_only_reason and not found.token:
        raise click.UsageError(found.read_only_reason)
    return found


def _address(text: str) -> Access:
    try:
        return parse_address(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--admin") from None


def _of_file(path: str, *, is_needed: bool) -> Access | None:
    """What a configuration file says of its admin port; None where it can't be read and nobody asked for it."""
    if not path:
        return None
    from balance.config.loading import read_text  # where a file is named alone: it takes a moment
    from balance.config.reading.reader import read
    from balance.errors import ConfigError

    try:
        document, problems = read(read_text(path), path, os.environ)
    except ConfigError as error:
        if is_needed:
            raise click.UsageError(str(error)) from None
        return None
    admin = document.data.get("admin")
    unset = {problem.path: str(problem) for problem in problems}  # variables, by the path of the value
    return _of_section(admin if isinstance(admin, dict) else {}, os.path.dirname(path), unset)


def _of_section(admin: dict[str, Any], folder: str, unset: dict[str, str]) -> Access:
    found = _address(str(admin.get("listen", DEFAULT)))
    if found.address.host in ("0.0.0.0", "::"):
        found = replace(found, address=Address("127.0.0.1", found.address.port))
    tls = admin.get("tls")
    if isinstance(tls, dict) and tls.get("enabled", True) is not False and isinstance(tls.get("cert_file"), str):
        found = replace(found, is_tls=True, pinned_cert=os.path.join(folder, tls["cert_file"]))
    auth = admin.get("auth")
    auth = auth if isinstance(auth, dict) else {}
    token, unread = _token_of("tokens", auth, folder, unset)
    if token:
        return replace(found, token=token, token_source="tokens of the configuration")
    reason = _unusable("tokens of the configuration", unread)
    token, unread = _token_of("read_only_tokens", auth, folder, unset)
    if token:
        found = replace(found, token=token, token_source="read_only_tokens of the configuration")
    elif not reason:
        reason = _unusable("read_only_tokens of the configuration", unread)
    return replace(found, read_only_reason=reason)


def _unusable(which: str, unread: str) -> str:
    return f"{which}: none can be used ({unread}); --token-file FILE names another" if unread else ""


def _token_of(name: str, auth: dict[str, Any], folder: str, unset: dict[str, str]) -> tuple[Token, str]:
    """The first token of a list that can be had; else why the first one of a file or a variable can't."""
    path = f"admin.auth.{name}"
    entries = auth.get(name)
    unread = unset.get(path, "")
    for place, entry in enumerate(entries if isinstance(entries, list) else ()):
        of_entry = f"{path}[{place}]"
        unread = unread or unset.get(of_entry) or unset.get(f"{of_entry}.token") or unset.get(f"{of_entry}.token_file", "")
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("token"), str):
            return Token(entry["token"].strip()), ""
        if isinstance(entry.get("token_file"), str):
            try:
                return read_token(os.path.join(folder, entry["token_file"])), ""
            except AccessError as error:
                unread = unread or str(error)  # not for us to read; perhaps the next one is
    return Token(""), unread
