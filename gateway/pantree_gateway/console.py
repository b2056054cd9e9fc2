"""The console: static files of the page at `/app/`, read once at the start.

The files are those of the build that `clients/console` writes into the folder `console` of this package.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

CONSOLE_PATH = "/app"
_INDEX = "index.html"
# File names there contain a hash of the content.
_HASHED_FOLDER = "assets/"
_IMMUTABLE, _REVALIDATE = "public, max-age=31536000, immutable", "no-cache"
# Smaller files do not become smaller.
_MIN_COMPRESSED_BYTES = 1024
_COMPRESSED_TYPES = ("text/", "application/json", "image/svg+xml")
CONSOLE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy of the page."""


@dataclass(frozen=True)
class StaticFile:
    """A file as it is served."""

    content: bytes
    compressed: bytes | None
    """With gzip; None if that is not smaller."""
    media_type: str
    etag: str
    cache_control: str


def read_console(folder: Traversable) -> Mapping[str, StaticFile]:
    """The files of a build by path relative to the page; empty without a build."""
    return dict(_files(folder, ""))


def _files(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    if not folder.is_dir():
        return []
    files: list[tuple[str, StaticFile]] = []
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            files += _files(entry, f"{path}/")
        elif entry.is_file():
            files.append((path, _file(path, entry.read_bytes())))
    return files


def _file(path: str, content: bytes) -> StaticFile:
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    media_type = media_type.replace("application/javascript", "text/javascript")
    compressed = gzip.compress(content, mtime=0) if media_type.startswith(_COMPRESSED_TYPES) else content
    is_worth_it = len(content) >= _MIN_COMPRESSED_BYTES and len(compressed) < len(content)
    return StaticFile(
        content=content,
        compressed=compressed if is_worth_it else None,
        media_type=media_type,
        etag=hashlib.sha256(content).hexdigest()[:32],
        cache_control=_IMMUTABLE if path.startswith(_HASHED_FOLDER) else _REVALIDATE,
    )


def accepts_html(accept: str) -> bool:
    """Whether an `Accept` header names HTML, as those of browsers do and those of programs do not."""
    for choice in accept.split(","):
        media_type, _, parameters = choice.partition(";")
        if media_type.strip().lower() == "text/html":
            return not parameters.replace(" ", "").startswith(("q=0;", "q=0.0")) and parameters.strip() != "q=0"
    return False


def add_console(router: APIRouter, files: Mapping[str, StaticFile]) -> None:
    """Adds the page. Anything but a file of the build is 404: the page has its routes behind `#`."""
    if _INDEX not in files:
        return

    @router.api_route(CONSOLE_PATH, methods=["GET", "HEAD"], include_in_schema=False)
    async def slash() -> Response:
        # Relative, so that it also works below a path that a proxy removes.
        return RedirectResponse(CONSOLE_PATH.removeprefix("/") + "/", status_code=307)

    @router.api_route(CONSOLE_PATH + "/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(path: str, request: Request) -> Response:
        found = files.get(path or _INDEX)
        if found is None:
            return Response(status_code=404)
        return _response(found, request)


def _response(file: StaticFile, request: Request) -> Response:
    use_compressed = file.compressed is not None and "gzip" in request.headers.get("accept-encoding", "")
    # Another representation, so another strong ETag.
    etag = f'"{file.etag}-gzip"' if use_compressed else f'"{file.etag}"'
    headers = {"ETag": etag, "Cache-Control": file.cache_control}
    if file.compressed is not None:
        headers["Vary"] = "Accept-Encoding"
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    content = file.content
    if use_compressed and file.compressed is not None:
        content = file.compressed
        headers["Content-Encoding"] = "gzip"
    if request.method == "HEAD":
        # As for GET: Starlette computes the length from the content.
        return Response(headers={**headers, "Content-Length": str(len(content))}, media_type=file.media_type)
    return Response(content, headers=headers, media_type=file.media_type)
