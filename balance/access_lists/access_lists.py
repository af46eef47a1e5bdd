"""The lists of one listener, and what they say of an address: blocked ones win over allowed ones.

Where there is an allow list, who is not on it is refused, and so is a client whose address nobody knows. The peer of a Unix
socket has no address: who may connect there is said by the permissions of its file, so lists do not apply to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from balance.access_lists.address_set import AddressSet


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file of addresses as it was when it was read."""

    path: str  # as it is written in the configuration
    addresses: AddressSet

    def __str__(self) -> str:
        return f"{self.path} ({len(self.addresses)} ranges)"


@dataclass(frozen=True, slots=True)
class AccessLists:
    """`allowed` None: everybody who is not blocked."""

    allowed: AddressSet | None = None
    blocked: AddressSet | None = None
    allow_files: tuple[ListFile, ...] = ()
    block_files: tuple[ListFile, ...] = ()

    def __bool__(self) -> bool:
        return self.has_allow_list or self.blocked is not None or bool(self.block_files)

    @property
    def has_allow_list(self) -> bool:
        return self.allowed is not None or bool(self.allow_files)

    @property
    def files(self) -> tuple[ListFile, ...]:
        return self.allow_files + self.block_files

    def admits(self, packed: bytes) -> bool:
        """Whether a client of this address may be served."""
        if self.blocked is not None and self.blocked.has(packed):
            return False
        for file in self.block_files:
            if file.addresses.has(packed):
                return False
        if self.allowed is None and not self.allow_files:
            return True
        return (self.allowed is not None and self.allowed.has(packed)) or any(
            file.addresses.has(packed) for file in self.allow_files
        )

    @property
    def admits_unknown(self) -> bool:
        """Whether a client may be served whose address a trusted proxy does not tell."""
        return not self.has_allow_list
