"""`python3 cmd/release_notes vX.Y.Z`: what CHANGELOG.md says of that version, for a release. Status 1: why there is none."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def notes(tag: str, changelog: str, version: str) -> str:
    """The section. ValueError: the tag is of no version, of another one, or its section is missing or unfinished."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise ValueError(f"{tag!r} is no tag of a release; write vX.Y.Z")
    wanted = tag.removeprefix("v")
    if wanted != version:
        raise ValueError(f"balance/version.py says {version}, the tag {wanted}")
    sections = re.split(r"(?m)^## ", changelog)[1:]
    for section in sections:
        title, _, body = section.partition("\n")
        if title.split()[:1] == [wanted]:
            if "unreleased" in title:
                raise ValueError(f"CHANGELOG.md calls {wanted} unreleased; write its date")
            if not body.strip():
                raise ValueError(f"CHANGELOG.md says nothing of {wanted}")
            return body.strip() + "\n"
    raise ValueError(f"CHANGELOG.md has no section ## {wanted}")


def version_of(text: str) -> str:
    """VERSION, without running the module."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            return str(node.value.value)
    raise ValueError("balance/version.py has no VERSION")


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python3 cmd/release_notes vX.Y.Z", file=sys.stderr)
        return 2
    try:
        version = version_of((ROOT / "balance" / "version.py").read_text())
        sys.stdout.write(notes(sys.argv[1], (ROOT / "CHANGELOG.md").read_text(), version))
    except (OSError, ValueError) as error:
        print(f"release_notes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
