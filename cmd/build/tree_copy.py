"""A copy of the tree, compiled where it lies: never the tree itself, as a stale module would win over its source unseen."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

# In a copy of ours, which may be filled again; it holds the fingerprint of what was compiled.
MARK = "build/compiled-copy"


def make(root: Path, into: Path) -> None:
    """Copy the files() of `root`. A copy of ours is brought up to date.

    Raises ValueError for a directory that is within the tree, or is not empty and no copy; OSError.
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
        is_same = target.is_file() and target.stat().st_mtime_ns == source.stat().st_mtime_ns
        if is_same and target.stat().st_size == source.stat().st_size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    (into / MARK).parent.mkdir(exist_ok=True)
    (into / MARK).touch()


def fingerprint(copy: Path, python: Path, opt_level: str) -> str:
    """Changes with whatever the compiled modules are made from, behind the level. mypy reads the types of the whole package."""
    found = hashlib.sha256(opt_level.encode())
    question = "import importlib.metadata, sys; print(sys.version, importlib.metadata.version('mypy'))"
    found.update(subprocess.run([str(python), "-I", "-c", question], check=True, capture_output=True).stdout)
    places = [*(copy / "balance").rglob("*.py"), *(copy / "balance").rglob("*.c"), *(copy / "cmd" / "build").iterdir()]
    for file in sorted(place for place in places if place.is_file()):
        found.update(f"{file.relative_to(copy)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return f"-O{opt_level} {found.hexdigest()}"


def is_compiled(copy: Path, wanted: str) -> bool:
    return (copy / MARK).read_text() == wanted


def note_compiled(copy: Path, made: str) -> None:
    (copy / MARK).write_text(made)


def forget_compiled(copy: Path) -> None:
    """Nothing old is left, also when compiling fails half-way."""
    note_compiled(copy, "")
    for old in [*(copy / "balance").rglob("*.so"), *copy.glob("*.so")]:
        old.unlink()


def files(root: Path) -> set[str]:
    """Names relative to `root`, without those of a deleted file. Of an archive that was unpacked, which git does not know, all
    that nothing has made there since.
    """
    if (root / ".git").exists() and shutil.which("git"):  # not that of a repository around it
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode == 0:  # git refuses a clone of somebody else's, for one
            return {name for name in done.stdout.split("\0") if name and (root / name).is_file()}
    found = set()
    for folder, folders, names in os.walk(root):
        place = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if is_ours(place / name) and not name.endswith(".egg-info")]
        found |= {str(place / name) for name in names if is_ours(place / name)}
    return found


def is_ours(path: Path) -> bool:
    """What this module copied: neither made by compiling nor by running."""
    made = path.parts[0] in ("build", "dist", ".git", ".venv") or path.suffix in (".so", ".pyc")
    return not made and not any(part.endswith(("_cache", "__pycache__")) or part == ".hypothesis" for part in path.parts)


def make_environment(copy: Path, python: Path) -> Path:
    """`.venv` of the copy, with all that `python` has but the copy's package instead of its own; its Python.

    So whatever is started with that Python, or from beside it, runs the copy, however it sets its variables.
    """
    venv = copy / ".venv"
    subprocess.run([str(python), "-m", "venv", "--clear", "--without-pip", str(venv)], check=True)
    question = [str(python), "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(question, check=True, capture_output=True, text=True).stdout.strip()
    (own,) = venv.glob("lib/python3*/site-packages")
    # A folder that such a line names is searched, but its own .pth files, of which one means the tree, are not read.
    (own / "compiled-copy.pth").write_text(f"{copy}\n{packages}\n")
    commands, ours = venv / "bin", python.parent
    for name, target in tomllib.loads((copy / "pyproject.toml").read_text())["project"]["scripts"].items():
        module, _, function = target.partition(":")
        write_script(
            commands / name, commands / "python", f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        )
    first_lines = tuple(f"#!{folder}/python".encode() for folder in (ours, ours.resolve()))
    for script in ours.iterdir():
        place = commands / script.name
        if place.exists() or script.is_symlink() or not script.is_file():
            continue
        text = script.read_bytes()
        shebang, _, rest = text.partition(b"\n")
        if shebang.startswith(first_lines):
            write_script(place, commands / "python", rest.decode())
        else:
            place.symlink_to(script)
    return commands / "python"


def write_script(place: Path, python: Path, text: str) -> None:
    place.write_text(f"#!{python}\n{text}")
    place.chmod(0o755)


def make_index(copy: Path) -> None:
    """Let git, where it is installed, know the files, which some tests ask it for."""
    if not shutil.which("git"):
        return
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    subprocess.run(["git", "add", "--all"], cwd=copy, check=True)
