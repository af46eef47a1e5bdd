"""The checkout to compare with: a folder, or a commit extracted into one."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parent() -> str:
    """The commit before what stands here: HEAD while the package has changes that are not committed, else HEAD's parent.

    Empty where there is none, as in a clone of one commit.
    """
    base = "HEAD" if _git("status", "--porcelain", "--", "balance") else "HEAD^"
    return _git("rev-parse", "--quiet", "--verify", f"{base}^{{commit}}").decode().strip()


@contextmanager
def laid_out(commit_or_folder: str) -> Iterator[Path]:
    """The checkout to count. ValueError when it is none."""
    folder = Path(commit_or_folder)
    if (folder / "balance").is_dir():
        yield folder.resolve()
        return
    archive = _git("archive", commit_or_folder)
    if not archive:
        raise ValueError(f"{commit_or_folder} is neither a commit of this repository nor a folder with the package in it")
    with tempfile.TemporaryDirectory(prefix="balance-checkout-") as scratch:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(scratch, filter="data")
        yield Path(scratch)


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False).stdout
