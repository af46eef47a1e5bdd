"""The page and its files, as they lie in the package: nothing is built, and nothing is fetched from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

PAGE: Final = "index.html"
TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/vnd.microsoft.icon",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "webmanifest": "application/manifest+json",
}
# Workers follow the policy of their script, so that every file has it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Asset(NamedTuple):
    """One file."""

    data: bytes
    media_type: str
    etag: str


class Assets:
    """All files by their path below the folder. They are read when the first is asked for, and stay in memory."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self._folder = folder if folder is not None else files("balance.admin.dashboard").joinpath("assets")
        self._files: dict[str, Asset] | None = None

    def find(self, path: str) -> Asset | None:
        """The file of that path; only those that are there, so that no path leads out of the folder."""
        if self._files is None:
            self._files = dict(_read(self._folder, ""))
        return self._files.get(path)


def _read(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _read(entry, f"{name}/")
        elif (media_type := TYPES.get(entry.name.rpartition(".")[2])) is not None:
            data = entry.read_bytes()
            yield name, Asset(data, media_type, f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"')


def asset_reply(asset: Asset, request: Request) -> Response:
    """The file, or 304 for who has it. It is asked for anew each time, so that an upgrade is seen at once."""
    headers = {
        "ETag": asset.etag,
        "Cache-Control": "no-cache",
        "Content-Type": asset.media_type,
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if asset.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(asset.data, headers=headers)
