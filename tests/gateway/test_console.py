"""The console's files: what is served, with which headers, and what is not."""

import gzip
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI

from pantree_gateway.console import CONSOLE_POLICY, accepts_html, add_console, read_console
from pantree_gateway.policy import is_open_path
from tests.gateway.mesh import Mesh

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SCRIPT = b"console.log('a file that is long enough to be compressed');" * 40


@pytest_asyncio.fixture(loop_scope="module")
async def small(tmp_path: Path) -> httpx.AsyncClient:
    """A client of an application with a build of three files."""
    (tmp_path / "secret.txt").write_text("not served")
    build = tmp_path / "console"
    (build / "assets").mkdir(parents=True)
    (build / "index.html").write_text("<!doctype html><title>Pantree</title>")
    (build / "assets/main-1a2b.js").write_bytes(SCRIPT)
    (build / "assets/icon-3c4d.svg").write_text("<svg/>")
    router = APIRouter()
    add_console(router, read_console(build))
    app = FastAPI()
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


async def test_page_is_revalidated_and_assets_are_kept(small: httpx.AsyncClient) -> None:
    page, script = await small.get("/app/"), await small.get("/app/assets/main-1a2b.js")
    assert (page.headers["cache-control"], page.headers["content-type"]) == ("no-cache", "text/html; charset=utf-8")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    again = await small.get("/app/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", page.headers["etag"])


async def test_gzip_is_another_representation(small: httpx.AsyncClient) -> None:
    path = "/app/assets/main-1a2b.js"
    plain = await small.get(path, headers={"Accept-Encoding": "identity"})
    async with small.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert plain.content == gzip.decompress(raw) == SCRIPT
    assert response.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert response.headers["etag"] != plain.headers["etag"]
    head = await small.head(path, headers={"Accept-Encoding": "gzip"})
    assert (head.content, head.headers["content-length"]) == (b"", str(len(raw)))


@pytest.mark.parametrize(
    "path",
    [
        "/app/missing",
        "/app/assets/",
        "/app/%2e%2e/secret.txt",
        "/app/..%2fsecret.txt",
        "/app//etc/passwd",
        "/app/household",
    ],
)
async def test_anything_else_is_404(path: str, small: httpx.AsyncClient) -> None:
    assert (await small.get(path)).status_code == 404


async def test_path_without_a_slash_leads_to_the_page(small: httpx.AsyncClient) -> None:
    response = await small.get("/app")
    assert (response.status_code, response.headers["location"]) == (307, "app/")


async def test_without_a_build_there_is_no_page(tmp_path: Path) -> None:
    assert read_console(tmp_path / "console") == {}
    router = APIRouter()
    add_console(router, {})
    assert router.routes == []


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (BROWSER["Accept"], True),
        ("*/*", False),
        ("application/json", False),
        ("", False),
        ("application/json, text/html;q=0.5", True),
        ("text/html;q=0, */*", False),
        ("text/html; q=0.0", False),
    ],
)
def test_only_who_names_html_is_a_browser(accept: str, expected: bool) -> None:
    assert accepts_html(accept) is expected


async def test_browser_is_sent_to_the_page_and_programs_are_not(client: httpx.AsyncClient) -> None:
    browser, program = await client.get("/", headers=BROWSER), await client.get("/")
    assert (browser.status_code, browser.headers["location"]) == (302, "app/")
    assert (program.status_code, program.json()["name"]) == (200, "Pantree")
    assert "Accept" in program.headers["vary"].split(", ")


async def test_page_of_the_gateway_has_a_strict_policy(client: httpx.AsyncClient) -> None:
    page = await client.get("/app/")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].encode() == CONSOLE_POLICY
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["cross-origin-opener-policy"] == "same-origin"


async def test_page_needs_no_key(mesh: Mesh, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('[{"name": "shop", "sha256": "%s"}]' % ("0" * 64))
    async with mesh.client(api_keys_file=str(keys)) as client:
        assert (await client.get("/app/")).status_code == 200
        assert (await client.get("/api/v1/config")).status_code == 401
    assert not is_open_path("/application")


async def test_docs_are_relative(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert "url: 'openapi.json'" in page
    assert 'src="docs-assets/' in page
    assert '"/docs-assets' not in page
