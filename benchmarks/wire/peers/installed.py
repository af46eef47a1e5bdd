"""A Balance that is installed for another interpreter, such as a compiled wheel: beside the tree's own, in the same rounds."""

import copy
import shutil

from wire.peers.balance import Balance


def installed(name: str, python: str, like: Balance) -> Balance:
    """`like` (balance itself, or a variant, whose name ends in what it has) as `python` has it, called `name`."""
    found = copy.copy(like)
    found.name = name + like.name.removeprefix(Balance.name)
    found.python = shutil.which(python) or python
    return found
