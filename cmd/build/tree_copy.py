"""A copy of the tree, compiled where it lies: never the tree itself, as a stale module would win over its source unseen."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# In a copy of ours, which may be filled again.
MARK = "build/compiled-copy"


def make(root: Path, into: Path) -> None:
    """Copy what git knows of `root`, and what it does not ignore. A copy of ours is brought up to date.

    Raises ValueError for a directory that is within the tree, or is not empty and no copy.
    """
    into = into.resolve()
    if into == root or root in into.parents or into in root.parents:
        raise ValueError(f"{into}: not beside the sources, please")
    if into.exists() and any(into.iterdir()) and not (into / MARK).is_file():
        raise ValueError(f"{into} is not empty, and not a copy to compile")
    wanted = files(root)
    for old in [path for path in into.rglob("*") if path.is_file() and is_ours(path.relative_to(into))]:
        if str(old.relative_to(into)) not in wanted:
            old.unlink()
    for name in wanted:
        source, target = root / name, into / name
        if target.is_file() and target.stat().st_mtime_ns == source.stat().st_mtime_ns:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    (into / MARK).parent.mkdir(exist_ok=True)
    (into / MARK).touch()


def files(root: Path) -> set[str]:
    """Names relative to `root`, without those of a deleted file."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in listed if name and (root / name).is_file()}


def is_ours(path: Path) -> bool:
    return path.parts[0] not in ("build", ".git", ".venv", ".mypy_cache", ".pytest_cache", ".hypothesis")
