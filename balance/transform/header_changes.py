"""Header fields that are added, set or removed in requests and in replies.

The changes apply in the file's order, so that what a later one removes is not sent. Lines are never joined (RFC 9110 section
5.3 forbids it for Set-Cookie). A keep-alive client sends the same lines each time, so what remains of them is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from balance.config.route_model import HeaderChange
from balance.http1.fields import is_field_name, remove_named
from balance.transform.header_template import HeaderTemplate, Variables

# Fields that say where a message ends, or that are for one connection (RFC 9110 section 7.6.1, RFC 9112 section 6). A change of
# one of them splits messages or breaks connections, so no change may name them.
FRAMING: Final = frozenset(
    (b"connection", b"content-length", b"expect", b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"trailer",
     b"transfer-encoding", b"upgrade")
)  # fmt: skip
_NOT_IN_REQUESTS: Final = FRAMING | {b"host"}  # `http.host` is for that

_CACHE_SIZE: Final = 64  # heads of all routes together
_CACHE_MAX_BYTES: Final = 2048  # of one of them

_remembered: Final[dict[tuple[frozenset[bytes], bytes], bytes]] = {}


def problem_of(change: HeaderChange, *, is_request: bool) -> str:
    """What is wrong with a change; empty when nothing is."""
    name = change.name.encode("utf-8", "replace").lower()
    if not is_field_name(name):
        return f"{change.name!r} is not the name of a header field"
    if name in (_NOT_IN_REQUESTS if is_request else FRAMING):
        return f"{change.name} is for the balancer itself and cannot be changed"
    try:
        HeaderTemplate(change.value)
    except ValueError as error:
        return str(error)
    return ""


class HeaderChanges:
    """The changes of one route in one direction, compiled."""

    __slots__ = ("_added", "_fixed", "removed")

    def __init__(self, changes: Sequence[HeaderChange], *, is_request: bool, also_removed: Set[bytes] = frozenset()) -> None:
        """`also_removed` are lower-case names of which no line of the peer goes on. ValueError for a change that cannot be."""
        removed = set(also_removed)
        added: list[tuple[bytes, bytes, HeaderTemplate]] = []
        for change in changes:
            problem = problem_of(change, is_request=is_request)
            if problem:
                raise ValueError(problem)
            name = change.name.encode().lower()
            if change.action != "add":
                removed.add(name)
                added = [each for each in added if each[0] != name]
            if change.action != "remove":
                added.append((name, change.name.encode() + b": ", HeaderTemplate(change.value)))
        self.removed = frozenset(removed)  # lower-case names
        self._added: tuple[tuple[bytes, HeaderTemplate], ...] = ()
        self._fixed: bytes | None = b""  # what is added, in one piece where no value has a variable; else None
        self._add([(name, template) for _, name, template in added])

    def _add(self, added: Sequence[tuple[bytes, HeaderTemplate]]) -> None:
        self._added = tuple(added)
        lines = b""
        for name, template in added:
            if template.fixed is None:
                self._fixed = None
                return
            lines += name + template.fixed + b"\r\n"
        self._fixed = lines

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return bool(self.removed or self._added)

    @property
    def is_fixed(self) -> bool:
        """Whether it changes the same lines alike, whatever the variables are."""
        return self._fixed is not None

    def take_per_try(self) -> HeaderChanges | None:
        """Take out the lines that name the backend, which is not known yet when the others are added; None without any."""
        named = [each for each in self._added if each[1].names("backend")]
        if not named:
            return None
        self._add([each for each in self._added if each not in named])
        taken = HeaderChanges((), is_request=True)
        taken._add(named)
        return taken

    def apply(self, lines: bytes, variables: Variables) -> bytes:
        """`lines` with the changes; they may begin with a status line, which stays."""
        removed = self.removed
        if removed:
            lines = without(lines, removed)
        if self._fixed is not None:
            return lines + self._fixed
        return lines + self.added(variables)

    def added(self, variables: Variables) -> bytes:
        """The lines that are added to any message. A line without a value, as its variable is unknown, is left out."""
        if self._fixed is not None:
            return self._fixed
        out = b""
        for name, template in self._added:
            value = template.fixed
            if value is None:
                value = template.render(variables)
                if not value:
                    continue
            out += name + value + b"\r\n"
        return out


def without(lines: bytes, names: frozenset[bytes]) -> bytes:
    """`lines` without the fields of these lower-case names."""
    if len(lines) > _CACHE_MAX_BYTES:
        return remove_named(lines, names)
    key = (names, lines)
    known = _remembered.get(key)
    if known is None:
        if len(_remembered) >= _CACHE_SIZE:
            _remembered.clear()
        known = _remembered[key] = remove_named(lines, names)
    return known
